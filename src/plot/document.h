// The JSON documents that pictures are made of, read and checked.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "io/json.h"
#include "plot/stats_document.h"

namespace quarot::plot {

// Of `quarot perplexity --json`, or a row of a reproduce document.
struct MeasuredPerplexity {
    std::string model;
    std::string label;   // the row's name, or the recipe's
    std::string series;  // what differs from its neighbours of one series in bits alone
    double weight_bits = 16.0, activation_bits = 16.0, cache_bits = 16.0;
    double perplexity = 0.0;               // positive
    std::optional<double> standard_error;  // of it, from windows of one run
    std::optional<double> seed_deviation;  // its standard deviation over runs of other seeds
    bool is_full_precision() const {
        return weight_bits >= 16.0 && activation_bits >= 16.0 && cache_bits >= 16.0;
    }
};

struct PaperTable {
    struct Row {
        std::string name, recipe, precision, remark;
        std::optional<MeasuredPerplexity> measured;  // empty: it could not be measured
        std::optional<double> relative, paper, seconds;
        std::optional<double> accuracy, paper_accuracy;  // means over zero-shot tasks, percent
    };
    int64_t number = 0;
    std::vector<Row> rows;
    bool is_beyond = false;  // not the paper's: steps beyond it, which are counted from 1

    std::string title() const;      // "Table 9", "Beyond the paper 2"
    std::string file_name() const;  // "table9", "beyond2"
};

struct ReproduceDocument {
    std::string model, text;
    std::vector<PaperTable> tables;
};

// What two perplexities have in common that can be compared.
struct PerplexityTerms {
    std::string text_digest;  // its SHA-256; where that is missing the file's name
    std::string protocol;
    int64_t seqlen = 0, windows = 0;  // 0: not told
    bool operator==(const PerplexityTerms&) const = default;
};

struct PerplexityDocument {
    std::string file, text;
    PerplexityTerms terms;
    MeasuredPerplexity measured;
};

// A row of `quarot bench --json`.
struct MeasuredSpeed {
    std::string test;  // "pp512"
    int64_t depth = 0, batch = 1;
    std::string label;  // what ran
    double tokens_per_second = 0.0, deviation = 0.0;
};

struct BenchDocument {
    std::vector<MeasuredSpeed> rows;
};

struct Documents {
    std::vector<StatsDocument> stats;
    std::vector<PerplexityDocument> perplexities;
    std::vector<ReproduceDocument> reproductions;
    std::vector<BenchDocument> benches;
};

// Documents of equal terms together, in the order in which terms come up.
std::vector<std::vector<PerplexityDocument>> comparable(
    const std::vector<PerplexityDocument>& documents);

// Each by its "schema". Error{NotFound}; Error{Corrupt} naming file and place for what is no JSON
// or not as its schema says; Error{Unsupported} naming the file for another schema.
Documents read_documents(const std::vector<std::string>& files);

}  // namespace quarot::plot
