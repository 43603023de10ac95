// Which rows will be measured on this model, with which settings, and which cannot be and why?
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "model/config.h"
#include "recipe/recipe.h"
#include "reproduce/paper_tables.h"

namespace quarot::reproduce {

struct PlannedRow {
    PaperRow paper;
    std::optional<Recipe> recipe;  // empty: not available
    std::string reason;            // then
};

struct PlanOptions {
    std::vector<int> tables;  // numbers of paper_tables(); empty: all
    uint32_t seed = 0;        // of the rotations' random numbers
    CalibrationSpec calibration;
};

// In the paper's order. Error{Usage} for a table that is none of paper_tables().
std::vector<PlannedRow> plan_rows(const PlanOptions& options, const model::ModelConfig& config);

}  // namespace quarot::reproduce
