// Log-likelihoods of continuations behind their contexts, many at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "eval/token_pair.h"
#include "runtime/engine.h"

namespace quarot::eval {

struct PairScore {
    double loglikelihood = 0.0;  // nats, sum over the continuation's tokens
    bool is_greedy = false;      // each of them is the likeliest; false where nobody asked
    bool is_cut = false;         // tokens at the context's start were left out to fit the model
};

struct ScoreOptions {
    bool wants_greedy = false;
    std::string what = "scoring";  // for progress
    // Scores that an earlier run left, a place for each pair; those pairs do not run. Empty: none.
    std::span<const std::optional<PairScore>> known = {};
    // Told the others' as they come.
    std::function<void(size_t pair, const PairScore&)> on_score = {};
};

// Positions that the pairs need, at most those there are.
int64_t longest_inputs(std::span<const TokenPair> pairs, int64_t max_positions);

// Of an engine that scores these pairs, at least one, well: sequences enough to fill its steps, as
// far as there is memory for their cache.
runtime::EngineLimits scoring_limits(std::span<const TokenPair> pairs,
                                     const model::Weights& weights,
                                     const kernels::Backend& backend);

// In the order of the pairs. The model sees all tokens of a pair but the last; of a longer pair
// than its context the last ones. Runs the longest pairs first, and pairs of equal contexts behind
// one another, so that whole pages of a context are computed once. Error{Usage} for a continuation
// that is longer than the context of the engine.
std::vector<PairScore> score_pairs(runtime::Engine& engine, std::span<const TokenPair> pairs,
                                   const ScoreOptions& options);

}  // namespace quarot::eval
