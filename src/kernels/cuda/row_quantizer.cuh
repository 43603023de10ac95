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
#include "kernels/cuda/row_access.cuh"

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

// How the values of one group become stored codes: clamp(round((x - origin) / scale) + zero, low,
// high) - low, where `low` is the code of a stored 0.
struct GroupQuantizer {
    RoundedDivision divide;
    float origin = 0.0f;
    float zero = 0.0f;
    float low = 0.0f;
    float high = 0.0f;
    int32_t offset = 0;
    float base = 0.0f;
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

__device__ inline void set_symmetric(GroupQuantizer& group, float max_abs, int bits) {
    const float largest = static_cast<float>((1 << (bits - 1)) - 1);
    group.divide.scale =
        max_abs == 0.0f ? 1.0f : at_least_smallest_normal(__fdiv_rn(max_abs, largest));
    group.low = -largest - 1.0f;
    group.high = largest;
}

__device__ inline void set_asymmetric(GroupQuantizer& group, float low, float high, int bits,
                                      bool real_zero) {
    widen_empty_range(low, high);
    const float steps = static_cast<float>((1 << bits) - 1);
    group.divide.scale = at_least_smallest_normal(__fdiv_rn(__fsub_rn(high, low), steps));
    group.low = 0.0f;
    group.high = steps;
    const int half = 1 << (bits - 1);
    if (real_zero) {
        group.origin = low;
        group.base = __fadd_rn(low, __fmul_rn(group.divide.scale, static_cast<float>(half)));
        return;
    }
    constexpr float kZeroLimit = 32000.0f;
    group.divide.scale = fmaxf(group.divide.scale, __fdiv_rn(fabsf(low), kZeroLimit));
    const auto zero = static_cast<int32_t>(rintf(__fdiv_rn(-low, group.divide.scale)));
    group.zero = static_cast<float>(zero);
    group.offset = zero - half;
}

// The quantizer of a group whose values have this range.
__device__ inline GroupQuantizer quantizer_of(const KeyRange& range, const QuantizeTarget& target) {
    const ActivationView& out = target.codes;
    GroupQuantizer group;
    if (!is_finite(range)) return group;
    float low = from_order_key(range.low), high = from_order_key(range.high);
    if (out.group_size == 0) {
        low = fminf(low, 0.0f);
        high = fmaxf(high, 0.0f);
    }
    const float largest = 2.0f * (fabsf(low) + fabsf(high));  // of what is divided
    low = __fmul_rn(low, target.clip);
    high = __fmul_rn(high, target.clip);
    if (out.offsets != nullptr || out.bases != nullptr) {
        set_asymmetric(group, low, high, out.bits, out.bases != nullptr);
    } else {
        set_symmetric(group, fmaxf(fabsf(low), fabsf(high)), out.bits);
    }
    if (!isfinite(group.divide.scale)) return {};
    group.divide = division_by(group.divide.scale, largest);
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

// 0 .. 2^bits - 1, from the rounded quotient.
__device__ __forceinline__ float stored_code(float quotient, const GroupQuantizer& group) {
    return fminf(fmaxf(__fadd_rn(quotient, group.zero), group.low), group.high) - group.low;
}
// Of four values, the first in the low byte.
__device__ __forceinline__ uint32_t stored_codes(const float4& x, const GroupQuantizer& group) {
    const float values[4] = {__fsub_rn(x.x, group.origin), __fsub_rn(x.y, group.origin),
                             __fsub_rn(x.z, group.origin), __fsub_rn(x.w, group.origin)};
    float quotients[4], from_tie = 1.0f;
#pragma unroll
    for (int i = 0; i < 4; ++i) quotients[i] = group.divide.near(values[i], from_tie);
    if (!group.divide.sure(from_tie)) {
#pragma unroll
        for (int i = 0; i < 4; ++i) quotients[i] = group.divide.exact(values[i]);
    }
    uint32_t bits[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) bits[i] = bits_of_code(stored_code(quotients[i], group));
    return pack_codes(bits[0], bits[1], bits[2], bits[3]);
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

// A row in the registers of a block: thread t has the four columns from 4 (t + i threads) on, for
// each i; zeros behind the last. The number of columns is a multiple of 4.
template <int kFours>
struct RegisterRow {
    float4 x[kFours];

    __device__ static int64_t column(int i) {
        return 4 * (threadIdx.x + static_cast<int64_t>(i) * blockDim.x);
    }
    // From row `index`, whose dtype is T; all loads come before the first use of one.
    template <typename T>
    __device__ __forceinline__ void load(const RowsView& rows, int64_t index) {
        const T* row = static_cast<const T*>(rows.data) + index * rows.stride;
        Four<T> read[kFours] = {};
#pragma unroll
        for (int i = 0; i < kFours; ++i) {
            if (column(i) < rows.cols) read[i] = *reinterpret_cast<const Four<T>*>(row + column(i));
        }
#pragma unroll
        for (int i = 0; i < kFours; ++i) x[i] = to_floats(read[i]);
    }
    // Calls use(value) for every value this thread has.
    template <class Use>
    __device__ __forceinline__ void each(const Use& use) const {
#pragma unroll
        for (const float4& four : x) {
            use(four.x);
            use(four.y);
            use(four.z);
            use(four.w);
        }
    }
    // Sum of terms, add(sum, x) for each, in an order that the number of threads does not change.
    template <class Add>
    __device__ __forceinline__ float sum(BlockTeam& block, const Add& add) const {
        float sums[kFours];
#pragma unroll
        for (int i = 0; i < kFours; ++i) {
            sums[i] = add(add(add(add(0.0f, x[i].x), x[i].y), x[i].z), x[i].w);
        }
        return block.sum_of_pieces(sums);
    }

    // Codes, scale and sum of the whole row, one group, into row `index`; not `real`: nowhere.
    __device__ void quantize(BlockTeam& block, const QuantizeTarget& target, int64_t index,
                             bool real = true) const {
        const ActivationView& out = target.codes;
        KeyRange range;
        each([&](float value) { range.include(order_key(value)); });
        const GroupQuantizer group = quantizer_of(block.range(range), target);
        const uint32_t zeros = code_bias(out.bits) * 0x01010101u;
        uint32_t sum = 0;
#pragma unroll
        for (int i = 0; i < kFours; ++i) {
            const int64_t c = column(i);
            if (c >= out.stride) break;
            uint32_t word = 0;
            if (c < out.cols) {
                word = group.usable ? stored_codes(x[i], group) : zeros;
                sum = __dp4a(word, 0x01010101u, sum);
            }
            uint8_t* to = out.codes + code_offset(out.rows, out.stride, index, c);
            if (real) *reinterpret_cast<uint32_t*>(to) = word;
        }
        const int32_t total = block.sum(static_cast<int32_t>(sum));
        if (threadIdx.x == 0 && real) {
            const auto biases = static_cast<int32_t>(out.cols) * code_bias(out.bits);
            store_group(target, index, 0, group, total - biases);
        }
    }
};

// The row of floats a block holds in shared memory, and where it goes. Every thread of the block
// runs it; `row` may have been written by other threads.
struct SharedRowQuantizer {
    const QuantizeTarget& target;
    const float* row;  // [cols], aligned to 16 bytes
    int64_t index;     // of the row

    __device__ void run(BlockTeam& block) const {
        __syncthreads();
        const ActivationView& out = target.codes;
        if (out.group_size == 0) {
            quantize_span(block, 0);
        } else {
            const int n_warps = static_cast<int>(blockDim.x / 32);
            for (int64_t g = threadIdx.x / 32; g < out.n_groups(); g += n_warps) {
                WarpTeam warp;
                quantize_span(warp, g);
            }
        }
        for (int64_t c = out.cols + threadIdx.x; c < out.stride; c += blockDim.x) {
            out.codes[code_offset(out.rows, out.stride, index, c)] = 0;
        }
    }

  private:
    template <class Team>
    __device__ void quantize_span(Team& team, int64_t g) const {
        const ActivationView& out = target.codes;
        const int64_t size = out.group_size == 0 ? out.cols : out.group_size;
        const float* values = row + g * size;
        KeyRange range;
        for (int64_t c = team.rank(); c < size; c += team.size()) {
            range.include(order_key(values[c]));
        }
        const GroupQuantizer group = quantizer_of(team.range(range), target);
        const int32_t stored = size % 4 == 0 ? write_words(team, values, g * size, size, group)
                                             : write_bytes(team, values, g * size, size, group);
        const int32_t sum = team.sum(stored);
        if (team.rank() == 0) {
            const auto biases = static_cast<int32_t>(size) * code_bias(out.bits);
            store_group(target, index, g, group, sum - biases);
        }
    }

    __device__ uint32_t stored(float x, const GroupQuantizer& group) const {
        if (!group.usable) return code_bias(target.codes.bits);
        const float quotient = group.divide(__fsub_rn(x, group.origin));
        return static_cast<uint32_t>(stored_code(quotient, group));
    }

    // Both return the thread's sum of stored codes.
    template <class Team>
    __device__ int32_t write_words(const Team& team, const float* values, int64_t first,
                                   int64_t size, const GroupQuantizer& group) const {
        const ActivationView& out = target.codes;
        int32_t sum = 0;
        for (int64_t c = 4 * team.rank(); c < size; c += 4 * team.size()) {
            const float4 x = *reinterpret_cast<const float4*>(values + c);
            const uint32_t word =
                group.usable ? stored_codes(x, group) : code_bias(target.codes.bits) * 0x01010101u;
            sum = static_cast<int32_t>(__dp4a(word, 0x01010101u, static_cast<uint32_t>(sum)));
            const int64_t at = code_offset(out.rows, out.stride, index, first + c);
            *reinterpret_cast<uint32_t*>(out.codes + at) = word;
        }
        return sum;
    }

    template <class Team>
    __device__ int32_t write_bytes(const Team& team, const float* values, int64_t first,
                                   int64_t size, const GroupQuantizer& group) const {
        const ActivationView& out = target.codes;
        int32_t sum = 0;
        for (int64_t c = team.rank(); c < size; c += team.size()) {
            const uint32_t code = stored(values[c], group);
            out.codes[code_offset(out.rows, out.stride, index, first + c)] =
                static_cast<uint8_t>(code);
            sum += static_cast<int32_t>(code);
        }
        return sum;
    }
};

}  // namespace quarot::kernels::cuda
