// Results item by item in a file, a JSON object a line, and two such files compared.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "eval/task_run.h"

namespace quarot::eval {

// Creates the file, which must not exist; it is complete or not there. Lines have the keys task,
// index, loglikelihoods, prediction, prediction_norm (where defined), gold and item, the digest.
void write_item_log(const std::string& path, std::span<const TaskResult> results);

// Tasks in the order of the file, items by index. Error{Corrupt} with file and line.
struct LoggedItem {
    int64_t index = 0;
    ItemResult result;
};
struct LoggedTask {
    std::string task;
    std::vector<LoggedItem> items;
};
std::vector<LoggedTask> read_item_log(const std::string& path);

// One measure of a task in runs a and b, over the items that both have.
struct MeasureChange {
    double a = 0.0, b = 0.0;            // shares of right predictions
    int64_t a_alone = 0, b_alone = 0;   // items that only a, or only b, has right
    double p_value = 1.0;               // mcnemar
    std::vector<int64_t> changed = {};  // items whose prediction is another
};
struct TaskComparison {
    std::string task;
    int64_t n = 0;         // items that both have
    int64_t n_single = 0;  // that only one has
    MeasureChange acc;
    std::optional<MeasureChange> acc_norm;
    double mean_loglikelihood_change = 0.0;  // mean of |b - a| over all choices
};

// Tasks that both logs have, in a's order. Error{Usage} if there are none, or if an index stands
// for different items; `a` and `b` are named in messages.
std::vector<TaskComparison> compare(const std::string& a, const std::string& b);

}  // namespace quarot::eval
