// Choosing the next token from its logits.
#pragma once

#include <cstdint>
#include <random>
#include <span>
#include <vector>

namespace quarot::runtime {

// Applied in this order, which is that of Hugging Face's generate(): repetition penalty,
// temperature, top-k, top-p, min-p. Each works on what the ones before it left, whose
// probabilities are made to sum to 1 again.
struct SamplingOptions {
    float temperature = 0.0f;         // 0: greedy, the rest is ignored but the penalty
    int64_t top_k = 0;                // 0: off
    float top_p = 1.0f;               // 1: off; the fewest likeliest, one at least, of this share
    float min_p = 0.0f;               // 0: off; relative to the best probability
    float repetition_penalty = 1.0f;  // 1: off; once for each token in the history, however often
                                      // it came: divides positive, multiplies negative logits
};

// Error{Usage} naming the setting that is out of range.
void check_sampling(const SamplingOptions& options);

struct Candidate {
    int32_t id = 0;
    double probability = 0.0;
};

// What may come next, and how likely each is; the probabilities sum to 1. Ties go to the lower id,
// also at the border of top-k and top-p. -inf is a token that cannot come; Error{Numeric} for a
// logit that is NaN or +inf, or if no token can come.
// logits: one for each id, at least one. history: ids below logits.size().
std::vector<Candidate> candidates(std::span<const float> logits, std::span<const int32_t> history,
                                  const SamplingOptions& options);

// One of the candidates. Greedy takes no number from `random`, otherwise it is exactly one; the
// same numbers give the same token on every machine.
int32_t sample(std::span<const float> logits, std::span<const int32_t> history,
               const SamplingOptions& options, std::mt19937_64& random);

}  // namespace quarot::runtime
