// The report of a run, for people (Markdown) and for scripts (JSON).
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "io/json.h"
#include "reproduce/order_of_methods.h"
#include "reproduce/reproduce.h"

namespace quarot::reproduce {

// What the report says of the run beside its results.
struct ReportHeader {
    std::string version;
    std::string model;            // folder as given
    std::string architecture;     // "LlamaForCausalLM, 8 layers of 256, 8.4 M parameters"
    bool on_4_bit_grids = false;  // the model's own weights (weight_grid.h)
    std::string note;             // the user's; may be empty
    std::string text;             // file as given
    int64_t text_tokens = 0;
    int64_t seqlen = 0;
    int64_t windows = 0;      // measured
    std::string calibration;  // file as given; empty: none was needed
    CalibrationSpec calibration_spec;
    uint32_t seed = 0;
    std::string backend;  // "cpu, tier avx2"
};

// Would a report with this header and these rows, written over the one that `report_json` is, lose
// something? Error{Usage} naming what: other calibration or seed, or a row that is not planned now.
void check_report_grows(const io::Json& report_json, const ReportHeader& header,
                        const std::vector<PlannedRow>& rows);

// The perplexity as a multiple of full precision's; empty if either is missing.
std::optional<double> relative(std::optional<double> perplexity, std::optional<double> base);

// Table 1's methods that both sides measured.
MethodOrder table_1_order(const Results& results);

// Adds the keys of the report to a document.
void add_report(io::Json& document, const ReportHeader& header, const Results& results);

std::string markdown_report(const ReportHeader& header, const Results& results);

// "W4A4KV4", "W16A16K4V3"
std::string precision(const Recipe& recipe);

}  // namespace quarot::reproduce
