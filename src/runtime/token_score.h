// How likely was a token, and which were the likeliest in its place?
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace quarot::runtime {

struct ScoredToken {
    int32_t id = 0;
    double log_probability = 0.0;  // nats
};

struct TokenScore {
    ScoredToken token;
    std::vector<ScoredToken> top;  // the likeliest, best first, lower ids first among equals
};

// Of `id` and the n_top likeliest, by the model's own logits: before penalties, bias and
// temperature. Equal logits have equal log-probabilities, bit for bit. Error{Numeric} for NaN.
TokenScore score_token(std::span<const float> logits, int32_t id, int64_t n_top);

}  // namespace quarot::runtime
