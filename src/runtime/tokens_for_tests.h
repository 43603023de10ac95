// For tests: tokens of requests.
#pragma once

#include <cstdint>
#include <vector>

namespace quarot::runtime {

// n tokens of a vocabulary of 256 in no simple order, others for another seed.
inline std::vector<int32_t> tokens_of(int32_t seed, int64_t n) {
    std::vector<int32_t> tokens;
    for (int32_t i = 0; i < n; ++i) tokens.push_back((i * i * 31 + i * 7 + seed) % 256);
    return tokens;
}

// first, first + 1, ...
inline std::vector<int32_t> counting(int32_t first, int64_t n) {
    std::vector<int32_t> tokens;
    for (int32_t i = 0; i < n; ++i) tokens.push_back(first + i);
    return tokens;
}

}  // namespace quarot::runtime
