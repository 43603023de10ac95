#include "reproduce/row_plan.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/check.h"
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

bool rotates(const Recipe& recipe) {
    return rotation_parts(recipe.rotation) != "none";
}

// Without its seed; `how` may be empty.
Recipe rotated(Recipe recipe, const std::string& how, const std::string& residual_sha256) {
    if (!how.empty()) set_rotation(recipe, how);
    if (!residual_sha256.empty() && recipe.rotation.residual == ResidualRotation::Hadamard) {
        recipe.rotation.residual = ResidualRotation::File;
        recipe.rotation.residual_sha256 = residual_sha256;
    }
    return recipe;
}

void resolve(PlannedRow& row, const PlanOptions& options, const model::ModelConfig& config) {
    if (row.paper.recipe == "none") {
        row.recipe = full_precision_recipe();
        return;
    }
    const Recipe named = named_recipe(std::string(row.paper.recipe));
    Recipe recipe = rotated(named, row.rotate, options.residual_sha256);
    row.is_papers = recipe.rotation == named.rotation;
    recipe.rotation.seed = options.seed;
    // What rotating and smoothing change is not to be rounded to the source's dtype as well.
    if (rotates(recipe) || recipe.smoothing.enabled) recipe.storage = DType::F32;
    recipe.calibration = options.calibration;
    check_recipe(recipe);
    model::check_groups(recipe, config);
    if (recipe.quantizes_weights()) quantize::quantizer_named(recipe.weights.method);
    row.recipe = recipe;
}

// Are there random numbers in the rotation, or in the choice of calibration windows?
bool depends_on_seed(const Recipe& recipe) {
    const ResidualRotation residual = recipe.rotation.residual;
    return residual == ResidualRotation::Hadamard || residual == ResidualRotation::Random ||
           (quantize::needs_calibration(recipe) &&
            recipe.calibration.windows == CalibrationWindows::Random);
}

std::vector<uint32_t> seeds_of(const Recipe& recipe, const PlanOptions& options) {
    std::vector<uint32_t> seeds = {options.seed};
    while (depends_on_seed(recipe) && std::ssize(seeds) < options.n_seeds) {
        seeds.push_back(seeds.back() + 1);
    }
    return seeds;
}

PlannedRow plan_row(const PaperRow& paper, const std::string& rotate, const PlanOptions& options,
                    const model::ModelConfig& config) {
    PlannedRow row;
    row.paper = paper;
    row.rotate = rotate;
    if (paper.refused) {
        row.reason = paper.note;
        return row;
    }
    try {
        resolve(row, options, config);
        QUAROT_CHECK(row.recipe.has_value());
        row.seeds = seeds_of(*row.recipe, options);
    } catch (const Error& error) {
        if (error.code() != ErrorCode::Usage && error.code() != ErrorCode::Unsupported) throw;
        row.reason = error.what();
    }
    return row;
}

// How to rotate it, one word a row; nothing: as it does.
std::vector<std::string> rotations_of(const PaperRow& paper, const PlanOptions& options) {
    const bool has_choice = !paper.refused && paper.recipe != "none" &&
                            rotates(named_recipe(std::string(paper.recipe)));
    if (!has_choice || options.rotations.empty()) return {""};
    return options.rotations;
}

}  // namespace

std::string PlannedRow::label() const {
    const std::string row(paper.row);
    return rotate.empty() ? row : fmt::format("{}, rotate {}", row, rotate);
}

std::optional<double> PlannedRow::paper_perplexity() const {
    return is_papers ? paper.paper : std::nullopt;
}

const PaperAccuracies* PlannedRow::paper_accuracies() const {
    return is_papers ? reproduce::paper_accuracies(paper) : nullptr;
}

std::vector<PlannedRow> plan_rows(const PlanOptions& options, const model::ModelConfig& config) {
    check_tables(options.tables);
    for (const std::string& how : options.rotations) {
        Recipe any;
        set_rotation(any, how);
    }
    std::vector<PlannedRow> rows;
    for (const PaperRow& paper : paper_rows()) {
        const bool wanted = options.tables.empty() ||
                            std::count(options.tables.begin(), options.tables.end(), paper.table);
        if (!wanted) continue;
        for (const std::string& rotate : rotations_of(paper, options)) {
            rows.push_back(plan_row(paper, rotate, options, config));
        }
    }
    return rows;
}

}  // namespace quarot::reproduce
