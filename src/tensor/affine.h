// From a range of real numbers to the scale and zero point that quantize it.
//
// The formulas of activations, K, V and weights (docs/quarot.md, "Quantizers"), fp32 throughout,
// rounding half to even. Every backend and quantizer uses these, so that their codes are equal.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "tensor/dtype.h"
#include "tensor/float_convert.h"

namespace quarot {

// value = scale * (q - zero)
struct Affine {
    float scale = 1.0f;
    int32_t zero = 0;
};

inline float at_least_smallest_normal(float scale) {
    return std::max(scale, std::numeric_limits<float>::min());
}

// As F16 holds it, but no smaller than its smallest normal number.
inline float half_scale(float scale) {
    return f16_to_f32(f32_to_f16(std::max(scale, 0x1p-14f)));
}

inline int symmetric_max(int bits) {
    return (1 << (bits - 1)) - 1;
}
inline int asymmetric_max(int bits) {
    return (1 << bits) - 1;
}

// Symmetric, q in [-2^(b-1), 2^(b-1)-1]: scale = max_abs / (2^(b-1)-1); a row of zeros gets 1.
inline Affine symmetric_affine(float max_abs, int bits) {
    if (max_abs == 0.0f) return {1.0f, 0};
    return {at_least_smallest_normal(max_abs / static_cast<float>(symmetric_max(bits))), 0};
}

// Asymmetric, q in [0, 2^b - 1]. lo <= hi after clipping. A range that does not reach 0 is kept as
// it is (V and activation groups), so the zero point may lie outside the code range; it always fits
// 16 bits: a range too narrow for that gets a larger scale. lo = hi: extended to include 0;
// both 0: (-1, 1). A scale of F16 is as that type holds it, at least its smallest normal number,
// and Inf for a range that is too wide for it.
inline Affine asymmetric_affine(float lo, float hi, int bits, DType scales = DType::F32) {
    if (lo == hi) {
        lo = std::min(lo, 0.0f);
        hi = std::max(hi, 0.0f);
    }
    if (lo == 0.0f && hi == 0.0f) {
        lo = -1.0f;
        hi = 1.0f;
    }
    float scale = at_least_smallest_normal((hi - lo) / static_cast<float>(asymmetric_max(bits)));
    constexpr float kZeroLimit = 32000.0f;
    scale = std::max(scale, std::fabs(lo) / kZeroLimit);
    if (scales == DType::F16) scale = half_scale(scale);
    return {scale, static_cast<int32_t>(std::nearbyint(-lo / scale))};
}

// value = scale * q + lo, q in [0, 2^b - 1]
struct RealAffine {
    float scale = 1.0f;
    float lo = 0.0f;

    // What is added where codes are q - 2^(b-1): value = scale * code + base.
    float base(int bits) const { return lo + scale * static_cast<float>(1 << (bits - 1)); }
};

// As F16 holds both numbers, for a range that need not reach 0; a scale below the smallest normal
// number of F16 becomes that one. A range that F16 cannot hold gives Inf.
inline RealAffine half_affine(float lo, float hi, int bits) {
    const float scale = (hi - lo) / static_cast<float>(asymmetric_max(bits));
    return {half_scale(scale), f16_to_f32(f32_to_f16(lo))};
}

// Asymmetric with the offset kept as a real number. lo = hi and both 0 as in asymmetric_affine; no
// zero point has to fit 16 bits, so a narrow range far from 0 keeps its scale.
inline RealAffine real_affine(float lo, float hi, int bits) {
    if (lo == hi) {
        lo = std::min(lo, 0.0f);
        hi = std::max(hi, 0.0f);
    }
    if (lo == 0.0f && hi == 0.0f) {
        lo = -1.0f;
        hi = 1.0f;
    }
    return {at_least_smallest_normal((hi - lo) / static_cast<float>(asymmetric_max(bits))), lo};
}

// Scales of two levels: the step of every group of a row is a whole number of the row's unit, 1 to
// kUnits of them.
inline constexpr float kUnits = 255.0f;

// largest_step: of the row's groups, 0 if all values are.
inline float unit_of_steps(float largest_step) {
    return largest_step == 0.0f ? 1.0f : at_least_smallest_normal(largest_step / kUnits);
}

// The nearest step that there is. Rounding up instead would clip nothing, and cost more than that
// gives (docs/quarot.md).
inline float step_in_units(float step, float unit) {
    return std::clamp(std::nearbyint(step / unit), 1.0f, kUnits) * unit;
}

// The same with a real zero point, for lo <= 0 <= hi, step = (hi - lo) / (2^b - 1): lo is a whole
// number of 2^b units, 0 to -kUnits, which is as low as the largest step reaches.
inline RealAffine real_affine_in_units(float lo, float step, float unit, int bits) {
    const float lo_unit = unit * static_cast<float>(1 << bits);
    const float n = std::clamp(std::nearbyint(-lo / lo_unit), 0.0f, kUnits);
    return {step_in_units(step, unit), -(n * lo_unit)};
}

// round(x / scale), clamped to [q_min, q_max]; division, not multiplication by a reciprocal.
inline int32_t quantize_symmetric(float x, float scale, int bits) {
    const float q = std::nearbyint(x / scale);
    const auto low = static_cast<float>(-symmetric_max(bits) - 1);
    return static_cast<int32_t>(std::clamp(q, low, static_cast<float>(symmetric_max(bits))));
}

inline int32_t quantize_asymmetric(float x, Affine affine, int bits) {
    const float q = std::nearbyint(x / affine.scale) + static_cast<float>(affine.zero);
    return static_cast<int32_t>(std::clamp(q, 0.0f, static_cast<float>(asymmetric_max(bits))));
}

inline int32_t quantize_real(float x, RealAffine affine, int bits) {
    const float q = std::nearbyint((x - affine.lo) / affine.scale);
    return static_cast<int32_t>(std::clamp(q, 0.0f, static_cast<float>(asymmetric_max(bits))));
}

}  // namespace quarot
