// A task's items as pairs of tokens, and what their scores say.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "eval/pair_score.h"
#include "eval/partial_scores.h"
#include "eval/statistics.h"
#include "eval/task_data.h"

namespace quarot::eval {

struct ItemResult {
    std::vector<double> loglikelihoods;  // of its choices
    // The choice that the model takes, the first among equals; of a last word nothing where it
    // would go on with another.
    std::optional<int64_t> prediction;
    std::optional<int64_t> prediction_norm;  // by log-likelihood a character
    int64_t gold = 0;
    std::string digest;  // of the item's texts
};

struct TaskResult {
    std::string task;
    std::vector<ItemResult> items;
    Mean acc;
    std::optional<Mean> acc_norm;
    std::optional<Mean> perplexity;
    int64_t n_cut = 0;  // requests that lost the start of their context
};

// One pair for each choice, item after item. Errors of encode_pair name the file.
std::vector<TokenPair> encode_task(const TaskData& data, const tokenizer::Tokenizer& tokenizer,
                                   tokenizer::AddBos bos);

// scores: of encode_task's pairs.
TaskResult judge(const TaskData& data, std::span<const PairScore> scores);

// Scores the pairs, which stand at `first` and on among those of `partial` if there is one, and
// judges them.
TaskResult run_task(runtime::Engine& engine, const TaskData& data, std::span<const TokenPair> pairs,
                    PartialScores* partial = nullptr, size_t first = 0);

}  // namespace quarot::eval
