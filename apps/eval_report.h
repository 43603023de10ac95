// What `quarot eval` prints: tables for people and documents for programs.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "eval/item_log.h"
#include "eval/task_run.h"
#include "io/json.h"

namespace quarot::apps {

std::string results_table(std::span<const eval::TaskResult> results);
// task -> its measures
io::Json results_to_json(std::span<const eval::TaskResult> results);

std::string comparison_table(std::span<const eval::TaskComparison> comparison);
io::Json comparison_to_json(std::span<const eval::TaskComparison> comparison);

}  // namespace quarot::apps
