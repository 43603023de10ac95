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

// How the values of one group become stored codes: clamp(round((x - origin) / scale) + zero, low,
// high) - low, where `low` is the code of a stored 0.
struct GroupQuantizer {
    float scale = 1.0f;
    float inverse = 1.0f;
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
    group.scale = max_abs == 0.0f ? 1.0f : at_least_smallest_normal(__fdiv_rn(max_abs, largest));
    group.low = -largest - 1.0f;
    group.high = largest;
}

__device__ inline void set_asymmetric(GroupQuantizer& group, float low, float high, int bits,
                                      bool real_zero) {
    widen_empty_range(low, high);
    const float steps = static_cast<float>((1 << bits) - 1);
    group.scale = at_least_smallest_normal(__fdiv_rn(__fsub_rn(high, low), steps));
    group.low = 0.0f;
    group.high = steps;
    const int half = 1 << (bits - 1);
    if (real_zero) {
        group.origin = low;
        group.base = __fadd_rn(low, __fmul_rn(group.scale, static_cast<float>(half)));
        return;
    }
    constexpr float kZeroLimit = 32000.0f;
    group.scale = fmaxf(group.scale, __fdiv_rn(fabsf(low), kZeroLimit));
    const auto zero = static_cast<int32_t>(rintf(__fdiv_rn(-low, group.scale)));
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
    low = __fmul_rn(low, target.clip);
    high = __fmul_rn(high, target.clip);
    if (out.offsets != nullptr || out.bases != nullptr) {
        set_asymmetric(group, low, high, out.bits, out.bases != nullptr);
    } else {
        set_symmetric(group, fmaxf(fabsf(low), fabsf(high)), out.bits);
    }
    if (!isfinite(group.scale)) return {};
    group.inverse = __frcp_rn(group.scale);
    group.usable = true;
    return group;
}

// round(x / scale) to nearest even. The product with the reciprocal is off by at most 2^-10 where
// |x / scale| <= 512, so that only next to a tie must the division decide.
__device__ __forceinline__ float rounded_quotient(float x, const GroupQuantizer& group) {
    const float near = __fmul_rn(x, group.inverse);
    const float rounded = rintf(near);
    const float from_tie = fabsf(fabsf(__fsub_rn(near, rounded)) - 0.5f);
    if (fabsf(near) <= 512.0f && from_tie > 0x1p-9f) return rounded;
    return rintf(__fdiv_rn(x, group.scale));
}

// 0 .. 2^bits - 1.
__device__ __forceinline__ uint32_t stored_code(float x, const GroupQuantizer& group) {
    const float quotient = rounded_quotient(__fsub_rn(x, group.origin), group);
    const float code = fminf(fmaxf(__fadd_rn(quotient, group.zero), group.low), group.high);
    return static_cast<uint32_t>(static_cast<int32_t>(code - group.low));
}

// Stores what belongs to group `index` of a row beside its codes. One thread calls it.
__device__ inline void store_group(const QuantizeTarget& target, int64_t row, int64_t index,
                                   const GroupQuantizer& group, int32_t sum) {
    const ActivationView& out = target.codes;
    const int64_t at = row * out.n_groups() + index;
    out.scales[at] = group.usable ? group.scale : 1.0f;
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

    // Codes, scale and sum of the whole row, one group, into row `index`.
    __device__ void quantize(BlockTeam& block, const QuantizeTarget& target, int64_t index) const {
        const ActivationView& out = target.codes;
        KeyRange range;
        each([&](float value) { range.include(order_key(value)); });
        const GroupQuantizer group = quantizer_of(block.range(range), target);
        const auto stored = [&](float value) -> uint32_t {
            return group.usable ? stored_code(value, group) : code_bias(out.bits);
        };
        uint32_t sum = 0;
#pragma unroll
        for (int i = 0; i < kFours; ++i) {
            const int64_t c = column(i);
            if (c >= out.stride) break;
            uint32_t word = 0;
            if (c < out.cols) {
                word = stored(x[i].x) | stored(x[i].y) << 8 | stored(x[i].z) << 16 |
                       stored(x[i].w) << 24;
                sum = __dp4a(word, 0x01010101u, sum);
            }
            *reinterpret_cast<uint32_t*>(out.codes + code_offset(out.rows, out.stride, index, c)) =
                word;
        }
        const int32_t total = block.sum(static_cast<int32_t>(sum));
        if (threadIdx.x == 0) {
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
        return group.usable ? stored_code(x, group) : code_bias(target.codes.bits);
    }

    // Both return the thread's sum of stored codes.
    template <class Team>
    __device__ int32_t write_words(const Team& team, const float* values, int64_t first,
                                   int64_t size, const GroupQuantizer& group) const {
        const ActivationView& out = target.codes;
        int32_t sum = 0;
        for (int64_t c = 4 * team.rank(); c < size; c += 4 * team.size()) {
            const float4 x = *reinterpret_cast<const float4*>(values + c);
            const uint32_t word = stored(x.x, group) | stored(x.y, group) << 8 |
                                  stored(x.z, group) << 16 | stored(x.w, group) << 24;
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
