// Which rows do the paper's tables of perplexity and accuracy have, what did it measure on which
// model, and which recipe is each row here?
#pragma once

#include <array>
#include <optional>
#include <span>
#include <string_view>

namespace quarot::reproduce {

struct PaperRow {
    int table = 0;
    std::string_view row;         // as the paper names it
    std::string_view recipe;      // by name; "none": the model as it came
    std::optional<double> paper;  // WikiText-2 perplexity of the table's model; empty: none
    std::string_view note = {};   // what stands there instead, or why the row is not measured
    bool refused = false;         // the note says why there will be no such recipe
};

// What the paper measured all rows of a table on.
struct PaperModel {
    std::string_view name;
    double full_precision = 0.0;  // perplexity
};

struct PaperTable {
    int number = 0;
    std::string_view title;
    const PaperModel* model = nullptr;
    bool has_zero_shot = false;  // accuracies belong to its rows
};

// Per cent of right answers to the tasks in the order of eval::tasks(), and their plain mean.
struct PaperAccuracies {
    std::array<double, 6> percents{};
    double average = 0.0;
};

std::span<const PaperRow> paper_rows();
std::span<const PaperTable> paper_tables();
const PaperTable& paper_table(int number);  // one that there is
// Of the row's recipe on its table's model; null where the paper has none.
const PaperAccuracies* paper_accuracies(const PaperRow& row);

}  // namespace quarot::reproduce
