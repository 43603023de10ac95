// A distribution over a vocabulary in short: its likeliest tokens, and what all others have
// together.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace quarot::eval {

inline constexpr int64_t kCompactTokens = 256;

struct CompactRow {
    std::vector<int32_t> ids;   // likeliest first, of equal ones the lowest
    std::vector<float> logits;  // minus the first one's; numbers that F16 has
    float rest = 0.0f;          // probability of all tokens but these, together
};

// The smaller of kCompactTokens and the vocabulary. log_sum: of the logits.
CompactRow compacted(std::span<const float> logits, double log_sum);

// KL(base || model) in nats of the distributions over the base's tokens and one event for the rest:
// sum p ln(p / q) + rest ln(rest / model's rest), p in proportion to exp(logits) and 1 - rest in
// sum. Never above the divergence over the whole vocabulary, but for the rounding of p.
double compact_divergence(const CompactRow& base, std::span<const float> logits, double log_sum);

}  // namespace quarot::eval
