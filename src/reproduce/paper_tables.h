// Which rows do the paper's perplexity tables have, what did it measure on Llama-2-7B, and which
// recipe is each row here?
#pragma once

#include <optional>
#include <span>
#include <string_view>

namespace quarot::reproduce {

struct PaperRow {
    int table = 0;
    std::string_view row;         // as the paper names it
    std::string_view recipe;      // by name; "none": the model as it came
    std::optional<double> paper;  // WikiText-2 perplexity of Llama-2-7B; empty: no number there
    std::string_view note = {};   // what stands there instead, or why the row is not measured
    bool refused = false;         // the note says why there will be no such recipe
};

struct PaperTable {
    int number = 0;
    std::string_view title;
};

std::span<const PaperRow> paper_rows();
std::span<const PaperTable> paper_tables();

constexpr double kPaperFullPrecision = 5.47;

}  // namespace quarot::reproduce
