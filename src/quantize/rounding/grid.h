// The integers that one run of weights (a row, or a group of one) is rounded to.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace quarot::quantize {

// w ~ scale * q with an integer q in [low, high]. Asymmetric codes are q + zero: low = -zero.
struct Grid {
    float scale = 1.0f;
    float low = -8.0f;
    float high = 7.0f;

    // Half to even; division, not multiplication by a reciprocal.
    float round(float w) const { return std::clamp(std::nearbyint(w / scale), low, high); }
    // What the file stores: 0 .. 2^bits - 1.
    uint8_t stored(float w) const { return static_cast<uint8_t>(round(w) - low); }
};

}  // namespace quarot::quantize
