// Choosing the next token from its logits.
#pragma once

#include <cstdint>
#include <random>
#include <span>

namespace quarot::runtime {

// Applied in this order: repetition penalty, temperature, top-k, top-p, min-p.
struct SamplingOptions {
    float temperature = 0.0f;         // 0: greedy, the rest is ignored but the penalty
    int64_t top_k = 0;                // 0: off
    float top_p = 1.0f;               // 1: off
    float min_p = 0.0f;               // 0: off; relative to the best probability
    float repetition_penalty = 1.0f;  // 1: off; divides positive, multiplies negative logits
};

// Error{Usage} naming the flag that is out of range.
void check_sampling(const SamplingOptions& options);

// history: tokens the repetition penalty looks at. Ties go to the lower id. Draws exactly one
// number from `random` unless greedy; the same numbers give the same token everywhere.
int32_t sample(std::span<const float> logits, std::span<const int32_t> history,
               const SamplingOptions& options, std::mt19937_64& random);

}  // namespace quarot::runtime
