// How well a model predicts a text, by the paper's protocol and two others.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "eval/divergence.h"
#include "eval/row_scorer.h"
#include "eval/scored_text.h"

namespace quarot::eval {

// Sums over all documents: exp(-log-likelihood / words), the same of bytes, and its logarithm to
// base 2.
struct RollingResult {
    Mean word_perplexity, byte_perplexity, bits_per_byte;
};

struct PerplexityResult {
    double perplexity = 0.0;               // per token
    std::optional<double> standard_error;  // to first order; of a single window, or document, none
    std::vector<double> window_nll;        // mean negative log-likelihood per window
    int64_t n_scored = 0;                  // tokens
    int64_t n_run = 0;                     // tokens
    double forward_seconds = 0.0;          // the model's forward passes and logits only
    std::optional<RollingResult> rolling;
    std::optional<Divergence> divergence;
};

// The windows run one after another; scorer sees their rows. Error{Usage} if an id is outside the
// vocabulary; then nothing has run.
PerplexityResult measure_perplexity(runtime::Engine& engine, const ScoredText& text,
                                    RowScorer& scorer);

struct PerplexityOptions {
    int64_t seqlen = 2048;
    int64_t max_windows = 0;  // 0: all
};

// The paper's protocol: exp of the mean over windows. `base` (may be null) sees the same windows.
// Error{Usage} if there is not one whole window, or if any id is outside a vocabulary; then nothing
// has run.
PerplexityResult perplexity(runtime::Engine& engine, runtime::Engine* base,
                            std::span<const int32_t> ids, const PerplexityOptions& options);

}  // namespace quarot::eval
