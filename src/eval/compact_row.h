// A distribution over a vocabulary in short: its likeliest tokens, what all others have together,
// and a sample of these.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace quarot::eval {

inline constexpr int64_t kCompactTokens = 256;
inline constexpr int64_t kSampledTokens = 32;
// A token of less is never sampled: steps begin at 2^-38 or above, and it moves no sum in FP64 that
// is so large.
inline constexpr float kLeastSampledLogP = -64.0f;

// Of a vocabulary of kCompactTokens or less there is no rest, and nothing is sampled.
struct CompactRow {
    std::vector<int32_t> ids;   // likeliest first, of equal ones the lowest
    std::vector<float> logits;  // minus the first one's; numbers that F16 has
    float rest = 0.0f;          // probability of all tokens but these, together
    // Of the rest, a token as often as its probability there asks for, and the logarithm of that.
    std::vector<int32_t> sampled_ids;
    std::vector<float> sampled_log_p;
};

// log_sum: of the logits. The sample is systematic: with equal steps along the sums of
// probabilities, from an offset that the seed draws.
CompactRow compacted(std::span<const float> logits, double log_sum, uint32_t seed);

// An estimate of KL(base || model) in nats, never below 0 but for rounding and right on average
// over seeds (docs/numerics.md):
//   sum p ln(p / q) + R ln(R / Q) + R mean(r - 1 - ln r)
// over the base's tokens, whose p is in proportion to exp(logits) and 1 - R in sum; the rests R of
// the base and Q of the model; the sample, r being a token's probability in the rest of the model
// over that in the base's.
double compact_divergence(const CompactRow& base, std::span<const float> logits, double log_sum);

}  // namespace quarot::eval
