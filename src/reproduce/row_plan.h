// Which rows will be measured on this model, with which settings, and which cannot be and why?
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/config.h"
#include "recipe/ladder.h"
#include "recipe/recipe.h"
#include "reproduce/paper_tables.h"

namespace quarot::reproduce {

// From the paper's recipe to one of this program's, a setting more in each row; the paper has no
// such table.
struct Ladder {
    std::string_view title;
    std::string_view last;  // the recipe at its end
    const std::vector<LadderStep>& steps;
};

std::span<const Ladder> ladders();

struct PlannedRow {
    PaperRow paper;                // of a ladder: what the row and its recipe are called
    std::optional<Recipe> recipe;  // empty: not available
    std::string reason;            // then
    std::string rotate;            // parts that take the place of the recipe's; empty: its own
    std::vector<uint32_t> seeds;   // to measure with; one where seeds make no difference
    bool is_papers = true;         // rotates as the paper's row does, so that its numbers compare
    int ladder = 0;                // the row stands in this one of ladders(), from 1; 0: in none

    // "table 3"; "beyond 1" of the first ladder
    std::string place() const;
    // "QuaRot", "QuaRot, rotate r1,r4"
    std::string label() const;
    // Where the row stands in the paper; null for one of a ladder.
    const PaperTable* table() const;
    // Do accuracies belong to it?
    bool has_zero_shot() const;
    // Of the paper, where its numbers compare.
    std::optional<double> paper_perplexity() const;
    std::optional<double> paper_relative() const;  // to full precision
    const PaperAccuracies* paper_accuracies() const;
};

struct PlanOptions {
    std::vector<int> tables;  // numbers of paper_tables(); empty: all of the paper's
    bool beyond = false;      // instead of them: from its recipe to this program's, step by step
    uint32_t seed = 0;        // of the rotations' random numbers and of calibration windows
    int64_t n_seeds = 1;      // measured for each row: seed, seed + 1, ...
    CalibrationSpec calibration;
    // Of rows that rotate: each is measured once for each of these (set_rotation), instead of as
    // its recipe rotates. Empty: as it does.
    std::vector<std::string> rotations;
    std::string residual_sha256;  // of a file that gives R1 where it is a Hadamard; may be empty
};

// In the paper's order. Error{Usage} for a table that is none of paper_tables(), or rotations that
// are none.
std::vector<PlannedRow> plan_rows(const PlanOptions& options, const model::ModelConfig& config);

}  // namespace quarot::reproduce
