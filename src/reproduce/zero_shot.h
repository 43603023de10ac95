// The paper's zero-shot tasks: what a model is asked, and how often it was right.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "eval/task_run.h"
#include "io/json.h"
#include "tokenizer/tokenizer.h"

namespace quarot::reproduce {

struct ZeroShotTask {
    eval::TaskData data;
    std::vector<eval::TokenPair> pairs;
    std::string digest;  // of the requests and the right answers

    std::string name() const { return std::string(data.task->name); }
    int64_t n_tokens() const;  // of all pairs
};

struct ZeroShotQuestions {
    std::vector<ZeroShotTask> tasks;   // in the order of eval::tasks()
    std::vector<std::string> missing;  // why each of the others is not there
};

// The tasks whose files are below `folder`, the first `limit` items of each (0: all).
// Error{NotFound} if no task's are; else as read_task and encode_task.
ZeroShotQuestions read_zero_shot(const std::string& folder, int64_t limit,
                                 const tokenizer::Tokenizer& tokenizer, tokenizer::AddBos bos);

// Of one recipe; as the paper reports it, acc_norm where a task has it, else acc.
struct TaskScore {
    std::string task;
    std::string metric;
    std::optional<double> percent;        // empty: it could not be measured
    std::string reason;                   // then
    std::optional<double> percent_error;  // standard error, over the items
    int64_t n = 0;                        // items
    double seconds = 0.0;
};

TaskScore score_of(const eval::TaskResult& result);

io::Json to_json(const TaskScore& score);
// Error{Corrupt} naming a key that is missing or of another type.
TaskScore task_score_from_json(const io::Json& json);

// The plain mean, if all of eval::tasks() were measured.
std::optional<double> average_percent(std::span<const TaskScore> scores);

}  // namespace quarot::reproduce
