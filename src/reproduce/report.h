// The report of a run, for people (Markdown), scripts (JSON) and spreadsheets (CSV).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

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
    int64_t n_seeds = 1;  // of rows that depend on them
    std::string r1;       // file that gave R1, as given; empty: none did
    std::string r1_sha256;
    std::string data;        // folder of the zero-shot tasks as given; empty: none, no accuracies
    int64_t task_limit = 0;  // items of a task; 0: all
    std::vector<std::string> missing_tasks;  // why others are left out
    std::string backend;                     // "cpu, tier avx2"
};

// Would a report with this header and these rows, written over the one that `report_json` is, lose
// something? Error{Usage} naming what: other calibration, seeds, R1 or items of tasks, a row that
// is not planned now, or its accuracies.
void check_report_grows(const io::Json& report_json, const ReportHeader& header,
                        const std::vector<PlannedRow>& rows);

// The perplexity as a multiple of full precision's; empty if either is missing.
std::optional<double> relative(std::optional<double> perplexity, std::optional<double> base);

// Table 1's methods that both sides measured.
MethodOrder table_1_order(const Results& results);

// Adds the keys of the report to a document.
void add_report(io::Json& document, const ReportHeader& header, const Results& results);

std::string markdown_report(const ReportHeader& header, const Results& results);

// A line for each row below one with the names of the columns, by RFC 4180; what is not there is
// empty.
std::string csv_report(const Results& results);

// The paper's of a task; empty where `paper` is null.
std::optional<double> paper_percent(const PaperAccuracies* paper, std::string_view task);

// "piqa" as the paper's tables head its column: "PQ".
std::string_view short_name(std::string_view task);

// What people should know of accuracies that are not there, a sentence each.
std::vector<std::string> notes_of_accuracies(const ReportHeader& header, const Results& results);

// "W4A4KV4", "W16A16K4V3"
std::string precision(const Recipe& recipe);

}  // namespace quarot::reproduce
