#include "apps/reproduction_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "apps/report.h"

namespace quarot::apps {

namespace {

// What the paper measured these rows on.
std::vector<std::string> paper_models(const reproduce::Results& results) {
    std::vector<std::string> models;
    for (const reproduce::MeasuredRow& row : results.rows) {
        const reproduce::PaperTable* const table = row.plan.table();
        if (table == nullptr) continue;
        const std::string model(table->model->name);
        if (std::find(models.begin(), models.end(), model) == models.end()) models.push_back(model);
    }
    return models;
}

std::string paper_line(const reproduce::Results& results) {
    const std::vector<std::string> models = paper_models(results);
    return models.empty() ? "" : "\npaper: its figures for " + joined(models, ", ");
}

std::string with_spread(const std::optional<double>& value, const std::optional<double>& spread,
                        int digits) {
    if (!value) return "-";
    const std::string text = fmt::format("{:.{}f}", *value, digits);
    return spread ? fmt::format("{} +- {:.{}f}", text, *spread, digits) : text;
}

std::string ladder_table(const reproduce::Results& results) {
    std::vector<std::vector<std::string>> cells = {
        {"step", "recipe", "perplexity", "KL", "top-1", "w", "a", "kv", "tok/s"}};
    for (const reproduce::MeasuredRow& row : results.rows) {
        const reproduce::Measurement* const m = row.measured();
        cells.push_back({std::string(row.plan.paper.row), std::string(row.plan.paper.recipe)});
        cells.back().push_back(with_spread(row.perplexity(), perplexity_deviation(row.seeds), 3));
        if (m == nullptr) {
            cells.back().insert(cells.back().end(), 6, "-");
            continue;
        }
        cells.back().push_back(m->kl ? fmt::format("{:.4f}", *m->kl) : "-");
        cells.back().push_back(m->same_top1 ? fmt::format("{:.1f} %", 100.0 * *m->same_top1) : "-");
        for (const double bits : {m->bits_per_weight, m->bits_per_activation, m->bits_per_kv}) {
            cells.back().push_back(fmt::format("{:.2f}", bits));
        }
        cells.back().push_back(fmt::format("{:.0f}", m->tokens_per_second));
    }
    return format_table(cells);
}

std::string perplexity_table(const reproduce::Results& results) {
    if (paper_models(results).empty()) return ladder_table(results);
    std::vector<std::vector<std::string>> cells = {
        {"row", "table", "recipe", "perplexity", "bits/wgt", "paper"}};
    for (const reproduce::MeasuredRow& row : results.rows) {
        const reproduce::PaperRow& paper = row.plan.paper;
        const std::optional<double> of_paper = row.plan.paper_perplexity();
        const reproduce::Measurement* const measured = row.measured();
        cells.push_back(
            {row.plan.label(), std::to_string(paper.table), std::string(paper.recipe),
             with_spread(row.perplexity(), perplexity_deviation(row.seeds), 4),
             measured != nullptr ? fmt::format("{:.2f}", measured->bits_per_weight) : "-",
             of_paper ? fmt::format("{:.2f}", *of_paper) : "-"});
    }
    return format_table(cells);
}

// Empty without accuracies.
std::string accuracy_table(const reproduce::Results& results) {
    std::vector<std::vector<std::string>> cells;
    for (const reproduce::MeasuredRow& row : results.rows) {
        if (row.tasks.empty()) continue;
        if (cells.empty()) {
            cells.push_back({"row", "table"});
            for (const reproduce::TaskScore& score : row.tasks) {
                cells.back().emplace_back(reproduce::short_name(score.task));
            }
            cells.back().insert(cells.back().end(), {"average", "paper"});
        }
        const reproduce::PaperTable* const table = row.plan.table();
        cells.push_back({row.plan.label(), table != nullptr ? std::to_string(table->number) : "-"});
        for (const reproduce::TaskScore& score : row.tasks) {
            cells.back().push_back(with_spread(score.percent, std::nullopt, 2));
        }
        const reproduce::PaperAccuracies* paper = row.plan.paper_accuracies();
        cells.back().push_back(
            with_spread(average_percent(row.tasks), average_deviation(row.seeds), 2));
        cells.back().push_back(paper != nullptr ? fmt::format("{:.2f}", paper->average) : "-");
    }
    return cells.empty() ? "" : "\n" + format_table(cells);
}

}  // namespace

std::string reproduction_text(const reproduce::ReportHeader& header,
                              const reproduce::Results& results, const std::string& folder) {
    const auto missing = std::count_if(results.rows.begin(), results.rows.end(),
                                       [](const auto& row) { return !row.perplexity(); });
    std::string text = perplexity_table(results) + accuracy_table(results) + paper_line(results) +
                       "\nreport: " + folder + "/report.md\n";
    for (const std::string& note : notes_of_accuracies(header, results)) text += note + "\n";
    if (missing > 0) {
        text += fmt::format("{} rows are not available; the report says why\n", missing);
    }
    return text;
}

}  // namespace quarot::apps
