#include "reproduce/row_plan.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"
#include "core/setting.h"
#include "model/role_formats.h"
#include "quantize/quantize_model.h"

namespace quarot::reproduce {

namespace {

void check_tables(const std::vector<int>& tables) {
    std::string list;
    for (const PaperTable& table : paper_tables()) {
        list += fmt::format("{}{}", list.empty() ? "" : ", ", table.number);
    }
    for (const int number : tables) {
        const auto known = paper_tables();
        const bool found = std::any_of(known.begin(), known.end(), [number](const PaperTable& t) {
            return t.number == number;
        });
        if (found) continue;
        fail(ErrorCode::Usage, "{} names {}, expected some of {}", Setting{"tables"}, number, list);
    }
}

Recipe resolve(std::string_view name, const PlanOptions& options,
               const model::ModelConfig& config) {
    if (name == "none") return full_precision_recipe();
    Recipe recipe = named_recipe(std::string(name));
    recipe.rotation.seed = options.seed;
    // What rotating and smoothing change is not to be rounded to the source's dtype as well.
    if (recipe.rotation.fold_norms || recipe.smoothing.enabled) recipe.storage = DType::F32;
    recipe.calibration = options.calibration;
    check_recipe(recipe);
    model::check_groups(recipe, config);
    if (recipe.quantizes_weights()) quantize::quantizer_named(recipe.weights.method);
    return recipe;
}

PlannedRow plan_row(const PaperRow& paper, const PlanOptions& options,
                    const model::ModelConfig& config) {
    PlannedRow row;
    row.paper = paper;
    if (paper.refused) {
        row.reason = paper.note;
        return row;
    }
    try {
        row.recipe = resolve(paper.recipe, options, config);
    } catch (const Error& error) {
        if (error.code() != ErrorCode::Usage && error.code() != ErrorCode::Unsupported) throw;
        row.reason = error.what();
    }
    return row;
}

}  // namespace

std::vector<PlannedRow> plan_rows(const PlanOptions& options, const model::ModelConfig& config) {
    check_tables(options.tables);
    std::vector<PlannedRow> rows;
    for (const PaperRow& paper : paper_rows()) {
        const bool wanted = options.tables.empty() ||
                            std::count(options.tables.begin(), options.tables.end(), paper.table);
        if (wanted) rows.push_back(plan_row(paper, options, config));
    }
    return rows;
}

}  // namespace quarot::reproduce
