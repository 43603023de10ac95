#include "reproduce/row_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

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

void resolve(PlannedRow& row, const Recipe& named, const PlanOptions& options,
             const model::ModelConfig& config) {
    if (named.name == "none") {
        row.recipe = named;
        return;
    }
    Recipe recipe = rotated(named, row.rotate, options.residual_sha256);
    row.is_papers = recipe.rotation == named.rotation;
    recipe.rotation.seed = options.seed;
    // What rotating and smoothing change is not to be rounded to the source's dtype as well.
    if (rotates(recipe) || recipe.smoothing.enabled) recipe.storage = DType::F32;
    // How the text is cut; what layers hand on while calibrating belongs to the recipe.
    recipe.calibration = options.calibration;
    recipe.calibration.activations = named.calibration.activations;
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

Recipe recipe_of(const PaperRow& paper) {
    return paper.recipe == "none" ? full_precision_recipe()
                                  : named_recipe(std::string(paper.recipe));
}

PlannedRow plan_row(const PaperRow& paper, const Recipe& named, const std::string& rotate,
                    const PlanOptions& options, const model::ModelConfig& config) {
    PlannedRow row;
    row.paper = paper;
    row.rotate = rotate;
    try {
        resolve(row, named, options, config);
        QUAROT_CHECK(row.recipe.has_value());
        row.seeds = seeds_of(*row.recipe, options);
    } catch (const Error& error) {
        if (error.code() != ErrorCode::Usage && error.code() != ErrorCode::Unsupported) throw;
        row.reason = error.what();
    }
    return row;
}

PlannedRow refused_row(const PaperRow& paper) {
    PlannedRow row;
    row.paper = paper;
    row.reason = paper.note;
    return row;
}

// How to rotate it, one word a row; nothing: as it does.
std::vector<std::string> rotations_of(const PaperRow& paper, const PlanOptions& options) {
    const bool has_choice = !paper.refused && paper.recipe != "none" &&
                            rotates(named_recipe(std::string(paper.recipe)));
    if (!has_choice || options.rotations.empty()) return {""};
    return options.rotations;
}

void plan_paper(std::vector<PlannedRow>& rows, const PlanOptions& options,
                const model::ModelConfig& config) {
    for (const PaperRow& paper : paper_rows()) {
        const bool wanted = options.tables.empty() ||
                            std::count(options.tables.begin(), options.tables.end(), paper.table);
        if (!wanted) continue;
        if (paper.refused) {
            rows.push_back(refused_row(paper));
            continue;
        }
        for (const std::string& rotate : rotations_of(paper, options)) {
            rows.push_back(plan_row(paper, recipe_of(paper), rotate, options, config));
        }
    }
}

// Steps on the way have no name.
void plan_ladder(std::vector<PlannedRow>& rows, int number, const PlanOptions& options,
                 const model::ModelConfig& config) {
    const Ladder& ladder = ladders()[static_cast<size_t>(number) - 1];
    const auto add = [&](std::string_view step, std::string_view name, Recipe recipe) {
        recipe.name = name;
        PlannedRow row = plan_row({0, step, name, std::nullopt}, recipe, "", options, config);
        row.ladder = number;
        row.is_papers = false;
        rows.push_back(std::move(row));
    };
    add("Full precision", "none", full_precision_recipe());
    Recipe recipe = named_recipe("quarot");
    add("QuaRot", "quarot", recipe);
    for (const LadderStep& step : ladder.steps) {
        recipe = with_changes(recipe, step.changes);
        add(step.name, &step == &ladder.steps.back() ? ladder.last : "custom", recipe);
    }
}

}  // namespace

std::span<const Ladder> ladders() {
    static const Ladder kLadders[] = {
        {"groups, about 4.5 bits a value", "best4.5", grouped_ladder()},
        {"one scale a token and a row of weights", "best4", ungrouped_ladder()},
        {"groups in the paper's rotations", "quarot+", hadamard_ladder()}};
    return kLadders;
}

std::string PlannedRow::place() const {
    return ladder == 0 ? fmt::format("table {}", paper.table) : fmt::format("beyond {}", ladder);
}

const PaperTable* PlannedRow::table() const {
    return ladder == 0 ? &paper_table(paper.table) : nullptr;
}

bool PlannedRow::has_zero_shot() const {
    return table() == nullptr || table()->has_zero_shot;
}

std::string PlannedRow::label() const {
    const std::string row(paper.row);
    return rotate.empty() ? row : fmt::format("{}, rotate {}", row, rotate);
}

std::optional<double> PlannedRow::paper_perplexity() const {
    return is_papers ? paper.paper : std::nullopt;
}

std::optional<double> PlannedRow::paper_relative() const {
    const std::optional<double> perplexity = paper_perplexity();
    if (!perplexity || table() == nullptr) return std::nullopt;
    return *perplexity / table()->model->full_precision;
}

const PaperAccuracies* PlannedRow::paper_accuracies() const {
    return is_papers && ladder == 0 ? reproduce::paper_accuracies(paper) : nullptr;
}

std::vector<PlannedRow> plan_rows(const PlanOptions& options, const model::ModelConfig& config) {
    check_tables(options.tables);
    for (const std::string& how : options.rotations) {
        Recipe any;
        set_rotation(any, how);
    }
    std::vector<PlannedRow> rows;
    if (options.beyond) {
        for (int number = 1; number <= std::ssize(ladders()); ++number) {
            plan_ladder(rows, number, options, config);
        }
    } else {
        plan_paper(rows, options, config);
    }
    return rows;
}

}  // namespace quarot::reproduce
