// Perplexity by the paper's protocol, and the divergence of one model's predictions from another's.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "runtime/engine.h"

namespace quarot::eval {

struct PerplexityOptions {
    int64_t seqlen = 2048;
    int64_t max_windows = 0;  // 0: all
};

// Of the model against the base, over all scored positions.
struct Divergence {
    double mean = 0.0;       // KL(base || model), nats
    double p99 = 0.0;        // 99th percentile
    double same_top1 = 0.0;  // share of positions with the same most likely token
    double base_perplexity = 0.0;
};

struct PerplexityResult {
    double perplexity = 0.0;
    // Of the perplexity: that of the windows' mean, to first order; empty for a single window.
    std::optional<double> standard_error;
    std::vector<double> window_nll;  // mean negative log-likelihood per window
    double forward_seconds = 0.0;    // the model's forward passes and logits only
    std::optional<Divergence> divergence;
};

// The ids are cut into consecutive windows of seqlen tokens, the rest dropped; each runs from an
// empty cache; mean of its seqlen - 1 predicted tokens' negative log-likelihoods in fp64; exp of
// the mean over windows. `base` (may be null) sees the same windows. Error{Usage} if there is not
// one whole window, or if any id is outside a vocabulary; then nothing has run.
PerplexityResult perplexity(runtime::Engine& engine, runtime::Engine* base,
                            std::span<const int32_t> ids, const PerplexityOptions& options);

// Text as the protocols read it. Error{Usage} for an unknown format.
//   raw: the bytes that io::read_input_text() gives
//   wikitext-rows: its lines, each with its newline, joined by an extra newline
std::string read_evaluation_text(const std::string& path, const std::string& format);

}  // namespace quarot::eval
