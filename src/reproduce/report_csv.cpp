// The report as CSV: one line for each row.
#include <fmt/format.h>

#include <algorithm>

#include "reproduce/report.h"

namespace quarot::reproduce {

namespace {

// Columns by name, in the order in which a row first had them.
using Cells = std::vector<std::pair<std::string, std::string>>;

std::string quoted(const std::string& text) {
    if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
    std::string quoted = "\"";
    for (const char c : text) quoted += c == '"' ? "\"\"" : std::string(1, c);
    return quoted + "\"";
}

template <typename T>
std::string text_of(const std::optional<T>& value) {
    return value ? fmt::format("{}", *value) : "";
}

void add_measured(Cells& cells, const MeasuredRow& row) {
    static const Measurement kUnmeasured;
    const Measurement* const measured = row.measured();
    const bool there = measured != nullptr;
    const Measurement& m = there ? *measured : kUnmeasured;
    const auto add = [&](const char* name, auto value) {
        cells.emplace_back(name, there ? fmt::format("{}", value) : "");
    };
    cells.emplace_back("kl", text_of(m.kl));
    cells.emplace_back("same_top1", text_of(m.same_top1));
    add("bits_per_value", m.bits_per_weight);
    add("activation_bits_per_value", m.bits_per_activation);
    add("kv_bits_per_value", m.bits_per_kv);
    add("tokens_per_second", m.tokens_per_second);
    add("seconds", row.seconds());
    cells.emplace_back("peak_rss_bytes", text_of(m.peak_rss_bytes));
}

void add_accuracies(Cells& cells, const MeasuredRow& row) {
    const PaperAccuracies* const paper = row.plan.paper_accuracies();
    for (const eval::Task& task : eval::tasks()) {
        const std::string name(task.name);
        const auto score = std::find_if(row.tasks.begin(), row.tasks.end(),
                                        [&](const TaskScore& s) { return s.task == name; });
        const bool there = score != row.tasks.end();
        cells.emplace_back(name, there ? text_of(score->percent) : "");
        cells.emplace_back(name + "_stderr", there ? text_of(score->percent_error) : "");
        cells.emplace_back(name + "_paper", text_of(paper_percent(paper, name)));
    }
    cells.emplace_back("zero_shot_average", text_of(average_percent(row.tasks)));
    cells.emplace_back("zero_shot_average_stddev", text_of(average_deviation(row.seeds)));
    cells.emplace_back("paper_zero_shot_average",
                       paper != nullptr ? fmt::format("{}", paper->average) : "");
}

Cells cells_of(const MeasuredRow& row, const std::optional<double>& full_precision) {
    const PlannedRow& plan = row.plan;
    const PaperTable* const table = plan.table();
    Cells cells = {{"table", table != nullptr ? fmt::format("{}", table->number) : ""},
                   {"row", std::string(plan.paper.row)},
                   {"rotate", plan.rotate},
                   {"recipe", std::string(plan.paper.recipe)},
                   {"precision", plan.recipe ? precision(*plan.recipe) : ""},
                   {"seeds", fmt::format("{}", row.seeds.size())},
                   {"perplexity", text_of(row.perplexity())},
                   {"perplexity_stddev", text_of(perplexity_deviation(row.seeds))},
                   {"relative", text_of(relative(row.perplexity(), full_precision))},
                   {"paper", text_of(plan.paper_perplexity())},
                   {"paper_relative", text_of(plan.paper_relative())},
                   {"paper_model", table != nullptr ? std::string(table->model->name) : ""},
                   {"beyond", table != nullptr ? "" : fmt::format("{}", plan.ladder)}};
    add_measured(cells, row);
    add_accuracies(cells, row);
    cells.emplace_back("reason", row.reason());
    return cells;
}

std::string line_of(const Cells& cells, std::string Cells::value_type::*what) {
    std::string line;
    for (const auto& cell : cells) {
        if (&cell != &cells.front()) line += ',';
        line += quoted(cell.*what);
    }
    return line + "\r\n";
}

}  // namespace

std::string csv_report(const Results& results) {
    const std::optional<double>& full_precision = results.full_precision.perplexity;
    std::string text = line_of(cells_of({.plan = {.paper = paper_rows().front()}}, full_precision),
                               &Cells::value_type::first);
    for (const MeasuredRow& row : results.rows) {
        text += line_of(cells_of(row, full_precision), &Cells::value_type::second);
    }
    return text;
}

}  // namespace quarot::reproduce
