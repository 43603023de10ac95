// From the range of a group to its scale, zero point and codes, on the device.
//
// tensor/affine.h word for word, fp32 with every operation rounded by itself: equal fp32 input
// gives equal codes on every backend.
#pragma once

#include <cfloat>
#include <cmath>
#include <cstdint>

#include "kernels/cuda/block_reduce.cuh"
#include "kernels/cuda/quantize_rows.h"

namespace quarot::kernels::cuda {

// fp32 numbers as integers in the same order; NaNs lie outside both infinities.
__device__ __forceinline__ int32_t order_key(float x) {
    const int32_t bits = __float_as_int(x);
    return bits ^ (bits >> 31 & 0x7fffffff);
}
__device__ __forceinline__ float from_order_key(int32_t key) {
    return __int_as_float(key ^ (key >> 31 & 0x7fffffff));
}

__device__ __forceinline__ bool is_finite(const KeyRange& range) {
    return isfinite(from_order_key(range.low)) && isfinite(from_order_key(range.high));
}

__device__ __noinline__ inline float exact_quotient(float x, float scale) {
    return rintf(__fdiv_rn(x, scale));
}

// round(x / scale) to nearest even, mostly from a product with the rounded reciprocal. The product
// and the rounded quotient differ by less than |x / scale| 2^-22, which matters next to a tie only.
struct RoundedDivision {
    float scale = 1.0f;
    float inverse = 1.0f;
    float margin = 0.0f;  // of products this far from a tie the rounding is that of the quotient

    // The rounded product; `from_tie` becomes its distance from a tie, if that is smaller.
    __device__ __forceinline__ float near(float x, float& from_tie) const {
        constexpr float kRounding = 0x1.8p23f;  // beyond 2^22 no distance suffices
        const float product = __fmul_rn(x, inverse);
        const float rounded = __fsub_rn(__fadd_rn(product, kRounding), kRounding);
        from_tie = fminf(from_tie, fabsf(fabsf(__fsub_rn(product, rounded)) - 0.5f));
        return rounded;
    }
    __device__ __forceinline__ bool sure(float from_tie) const { return from_tie > margin; }
    // Slow.
    __device__ __forceinline__ float exact(float x) const { return exact_quotient(x, scale); }
    __device__ __forceinline__ float operator()(float x) const {
        float from_tie = 1.0f;
        const float rounded = near(x, from_tie);
        return sure(from_tie) ? rounded : exact(x);
    }
};
// No |x| that is divided is larger than `largest`.
__device__ __forceinline__ RoundedDivision division_by(float scale, float largest) {
    const float inverse = __frcp_rn(scale);
    return {scale, inverse, __fmul_rn(__fmul_rn(largest, inverse), 0x1p-21f)};
}

// What the codes of one row are.
struct RowFormat {
    int bits = 4;
    float clip = 1.0f;
    RoundedDivision units = {};  // of scales of two levels: by what they count
};

// Not yet its unit.
__device__ __forceinline__ RowFormat format_of_row(const QuantizeTarget& target, int64_t row) {
    if (target.positions != nullptr) {
        const int32_t position = target.positions[row];
        if (position >= 0 && position < target.first_positions) return {target.codes.bits, 1.0f};
    }
    return {target.bits, target.clip};
}

// How the values of one group become stored codes: clamp(round((x - origin) / scale) + zero, low,
// high) + lift, where `lift` takes the row's lowest code to where rows of the widest bits have it.
struct GroupQuantizer {
    RoundedDivision divide;
    float origin = 0.0f;
    float zero = 0.0f;
    float low = 0.0f;
    float high = 0.0f;
    float lift = 0.0f;
    int32_t offset = 0;
    float base = 0.0f;
    // Of scales of two levels: step and lowest value in units of the row.
    float step_units = 0.0f;
    float low_units = 0.0f;
    bool usable = false;  // finite values, finite scale
};

__device__ __forceinline__ float at_least_smallest_normal(float scale) {
    return fmaxf(scale, FLT_MIN);
}

// What asymmetric_affine and real_affine do to a range before they divide it.
__device__ __forceinline__ void widen_empty_range(float& low, float& high) {
    if (low == high) {
        low = fminf(low, 0.0f);
        high = fmaxf(high, 0.0f);
    }
    if (low == 0.0f && high == 0.0f) {
        low = -1.0f;
        high = 1.0f;
    }
}

__device__ __forceinline__ float largest_symmetric(int bits) {
    return static_cast<float>((1 << (bits - 1)) - 1);
}
__device__ __forceinline__ float largest_asymmetric(int bits) {
    return static_cast<float>((1 << bits) - 1);
}

__device__ __forceinline__ bool has_zero_points(const ActivationView& out) {
    return out.offsets != nullptr || out.bases != nullptr;
}

// The range that a group is quantized by.
struct ClippedRange {
    float low, high;
    float largest;  // no |x| that is divided is larger
};

// Of finite values.
__device__ __forceinline__ ClippedRange clipped_range(const KeyRange& range,
                                                      const QuantizeTarget& target, float clip) {
    float low = from_order_key(range.low), high = from_order_key(range.high);
    if (target.codes.group_size == 0 || target.two_level) {
        low = fminf(low, 0.0f);
        high = fmaxf(high, 0.0f);
    }
    return {__fmul_rn(low, clip), __fmul_rn(high, clip), 2.0f * (fabsf(low) + fabsf(high))};
}

__device__ inline void set_symmetric(GroupQuantizer& group, float max_abs, int bits) {
    group.divide.scale =
        max_abs == 0.0f ? 1.0f
                        : at_least_smallest_normal(__fdiv_rn(max_abs, largest_symmetric(bits)));
}

__device__ inline void set_asymmetric(GroupQuantizer& group, float low, float high, int bits,
                                      bool real_zero) {
    widen_empty_range(low, high);
    group.divide.scale =
        at_least_smallest_normal(__fdiv_rn(__fsub_rn(high, low), largest_asymmetric(bits)));
    if (real_zero) {
        group.origin = low;
        return;
    }
    constexpr float kZeroLimit = 32000.0f;
    group.divide.scale = fmaxf(group.divide.scale, __fdiv_rn(fabsf(low), kZeroLimit));
    const auto zero = static_cast<int32_t>(rintf(__fdiv_rn(-low, group.divide.scale)));
    group.zero = static_cast<float>(zero);
    group.offset = zero - (1 << (bits - 1));
}

// What the codes of a group count, before that is a whole number of units: 0 if all values are; not
// finite where the group cannot be quantized.
__device__ inline float step_of(const KeyRange& range, const QuantizeTarget& target,
                                const RowFormat& format) {
    if (!is_finite(range)) return INFINITY;
    const auto [low, high, largest] = clipped_range(range, target, format.clip);
    if (has_zero_points(target.codes)) {
        return __fdiv_rn(__fsub_rn(high, low), largest_asymmetric(format.bits));
    }
    return __fdiv_rn(fmaxf(fabsf(low), fabsf(high)), largest_symmetric(format.bits));
}

// A row's unit, from the largest step of its groups.
__device__ __forceinline__ float unit_of_steps(float largest) {
    constexpr float kUnits = 255.0f;
    return largest == 0.0f ? 1.0f : at_least_smallest_normal(__fdiv_rn(largest, kUnits));
}
// By a row's unit: no step is more than 255 of them.
__device__ __forceinline__ RoundedDivision division_by_unit(float unit) {
    return division_by(unit, 256.0f * unit);
}
__device__ __forceinline__ float whole_units(float x, const RoundedDivision& units, float least) {
    constexpr float kUnits = 255.0f;
    return fminf(fmaxf(units(x), least), kUnits);
}

__device__ inline void set_in_units(GroupQuantizer& group, float low, float step,
                                    const RowFormat& format, bool real_zero) {
    group.step_units = whole_units(step, format.units, 1.0f);
    group.divide.scale = __fmul_rn(group.step_units, format.units.scale);
    if (!real_zero) return;
    const auto power = static_cast<float>(1 << format.bits);
    RoundedDivision low_units = format.units;
    low_units.scale = __fmul_rn(low_units.scale, power);
    low_units.inverse = __fdividef(low_units.inverse, power);
    const float count = whole_units(-low, low_units, 0.0f);
    group.origin = -__fmul_rn(count, low_units.scale);
    group.low_units = -count * power;
}

// The codes that the row's bits have, and where they are stored.
__device__ __forceinline__ void set_codes(GroupQuantizer& group, const ActivationView& out,
                                          int bits) {
    const int half = 1 << (bits - 1);
    const bool from_zero = has_zero_points(out);
    group.low = from_zero ? 0.0f : static_cast<float>(-half);
    group.high = from_zero ? largest_asymmetric(bits) : largest_symmetric(bits);
    group.lift = static_cast<float>(code_bias(out.bits) - half) - group.low;
    if (out.bases != nullptr) {
        const float of_half = __fmul_rn(group.divide.scale, static_cast<float>(half));
        group.base = __fadd_rn(group.origin, of_half);
    }
}

// The quantizer of a group whose values have this range.
__device__ inline GroupQuantizer quantizer_of(const KeyRange& range, const QuantizeTarget& target,
                                              const RowFormat& format) {
    const ActivationView& out = target.codes;
    GroupQuantizer group;
    if (!is_finite(range)) return group;
    const auto [low, high, largest] = clipped_range(range, target, format.clip);
    float checked = 0.0f;  // finite where the group can be quantized
    if (target.two_level) {
        checked = step_of(range, target, format);
        set_in_units(group, low, checked, format, out.bases != nullptr);
    } else {
        if (has_zero_points(out)) {
            set_asymmetric(group, low, high, format.bits, out.bases != nullptr);
        } else {
            set_symmetric(group, fmaxf(fabsf(low), fabsf(high)), format.bits);
        }
        checked = group.divide.scale;
    }
    if (!isfinite(checked)) return {};
    group.divide = division_by(group.divide.scale, largest);
    set_codes(group, out, format.bits);
    group.usable = true;
    return group;
}

// Of 0 .. 255, in the low byte; the next byte is 0.
__device__ __forceinline__ uint32_t bits_of_code(float code) {
    return __float_as_uint(__fadd_rn(code, 0x1p23f));
}
// The low bytes of four numbers, the first in the low byte.
__device__ __forceinline__ uint32_t pack_codes(uint32_t a, uint32_t b, uint32_t c, uint32_t d) {
    return __byte_perm(__byte_perm(a, b, 0x0040), __byte_perm(c, d, 0x0040), 0x5410);
}

// The code that the row's bits have, from the rounded quotient.
__device__ __forceinline__ float code_of(float quotient, const GroupQuantizer& group) {
    return fminf(fmaxf(__fadd_rn(quotient, group.zero), group.low), group.high);
}

// Codes of four values, as the row's bits have them.
struct FourCodes {
    float q[4] = {};
};
__device__ __forceinline__ FourCodes codes_of(const float4& x, const GroupQuantizer& group) {
    const float values[4] = {__fsub_rn(x.x, group.origin), __fsub_rn(x.y, group.origin),
                             __fsub_rn(x.z, group.origin), __fsub_rn(x.w, group.origin)};
    float quotients[4], from_tie = 1.0f;
#pragma unroll
    for (int i = 0; i < 4; ++i) quotients[i] = group.divide.near(values[i], from_tie);
    if (!group.divide.sure(from_tie)) {
#pragma unroll
        for (int i = 0; i < 4; ++i) quotients[i] = group.divide.exact(values[i]);
    }
    FourCodes codes;
#pragma unroll
    for (int i = 0; i < 4; ++i) codes.q[i] = code_of(quotients[i], group);
    return codes;
}
// As they are stored, the first in the low byte.
__device__ __forceinline__ uint32_t stored_codes(const FourCodes& codes,
                                                 const GroupQuantizer& group) {
    uint32_t bits[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) bits[i] = bits_of_code(codes.q[i] + group.lift);
    return pack_codes(bits[0], bits[1], bits[2], bits[3]);
}
__device__ __forceinline__ uint32_t stored_codes(const float4& x, const GroupQuantizer& group) {
    return stored_codes(codes_of(x, group), group);
}

// Stores what belongs to group `index` of a row beside its codes. One thread calls it.
__device__ inline void store_group(const QuantizeTarget& target, int64_t row, int64_t index,
                                   const GroupQuantizer& group, int32_t sum) {
    const ActivationView& out = target.codes;
    const int64_t at = row * out.n_groups() + index;
    out.scales[at] = group.usable ? group.divide.scale : 1.0f;
    out.row_sums[at] = group.usable ? sum : 0;
    if (out.offsets != nullptr) out.offsets[at] = group.offset;
    if (out.bases != nullptr) out.bases[at] = group.base;
    if (!group.usable && target.bad_site != nullptr) atomicMin(target.bad_site + row, target.site);
}

// Whether neighbouring lanes of a warp, four columns each, make up groups of so many columns.
__host__ __device__ constexpr bool fills_lanes(int64_t group_size) {
    const int64_t lanes = group_size / 4;
    return group_size % 4 == 0 && lanes >= 1 && lanes <= 32 && (lanes & (lanes - 1)) == 0;
}

}  // namespace quarot::kernels::cuda
