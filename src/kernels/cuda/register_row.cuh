// A row in the registers of a block, from its load to its codes.
#pragma once

#include <cstdint>

#include "kernels/cuda/block_reduce.cuh"
#include "kernels/cuda/device/cluster.cuh"
#include "kernels/cuda/device/mbarrier.cuh"
#include "kernels/cuda/row_access.cuh"
#include "kernels/cuda/row_blocks.h"
#include "kernels/cuda/row_multiples.cuh"
#include "kernels/cuda/row_quantizer.cuh"

namespace quarot::kernels::cuda {

// Of wider rows, multiples wait for the codes: a thread has no registers for both.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 900
inline constexpr int kMostFoursOfMultiples = 2;
#else
inline constexpr int kMostFoursOfMultiples = 4;
#endif

// Whether rows of the target may be quantized in registers: one group each, whose scale is a number
// of its own, or groups that fill lanes.
inline bool fits_registers(const QuantizeTarget& target) {
    const ActivationView& out = target.codes;
    const bool one_group = out.group_size == 0 && !target.two_level;
    return (one_group || (fills_lanes(out.group_size) && out.cols % out.group_size == 0)) &&
           out.cols % 4 == 0 && out.cols <= kMostRegisterColumns;
}

// Calls body.operator()<kGrouped>().
template <class Body>
void with_groups(const QuantizeTarget& target, const Body& body) {
    if (target.codes.group_size > 0) {
        body.template operator()<true>();
    } else {
        body.template operator()<false>();
    }
}

// A row in the registers of a block: thread t has the four columns from 4 (t + i threads) on, for
// each i; zeros behind the last. The number of columns is a multiple of 4. kSharers: blocks of a
// cluster that share a row of groups, one behind the other; all of them are running.
template <int kFours, int kSharers = 1>
struct RegisterRow {
    float4 x[kFours];

    __device__ static int64_t column(int i) {
        const int64_t run = kSharers == 1 ? i : static_cast<int>(cluster_rank()) * kFours + i;
        return 4 * (threadIdx.x + run * blockDim.x);
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
        static_assert(kSharers == 1);
        float sums[kFours];
#pragma unroll
        for (int i = 0; i < kFours; ++i) {
            sums[i] = add(add(add(add(0.0f, x[i].x), x[i].y), x[i].z), x[i].w);
        }
        return block.sum_of_pieces(sums);
    }

    // Codes of the row, and what belongs to its groups, into row `index`; not `real`: nowhere.
    template <bool kGrouped>
    __device__ void quantize(BlockTeam& block, const QuantizeTarget& target, int64_t index,
                             bool real = true) const {
        static_assert(kGrouped || kSharers == 1);
        if constexpr (kGrouped) {
            quantize_groups(block, target, index, real);
        } else {
            quantize_whole(block, target, index, real);
        }
    }

  private:
    __device__ void quantize_whole(BlockTeam& block, const QuantizeTarget& target, int64_t index,
                                   bool real) const {
        const ActivationView& out = target.codes;
        KeyRange range;
        each([&](float value) { range.include(order_key(value)); });
        const GroupQuantizer group =
            quantizer_of(block.range(range), target, format_of_row(target, index));
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

    // Groups that fill lanes.
    __device__ void quantize_groups(BlockTeam& block, const QuantizeTarget& target, int64_t index,
                                    bool real) const {
        const ActivationView& out = target.codes;
        LaneTeam team(static_cast<int>(out.group_size / 4));
        RowFormat format = format_of_row(target, index);
        if (target.two_level) {
            format.units = division_by_unit(unit_of_groups(block, team, target, format));
        }
        constexpr bool kAtOnce = kFours <= kMostFoursOfMultiples;
        const bool multiples = out.multiples != nullptr && real;
        if (kAtOnce && multiples && column(0) == 0) store_row_unit(out, index, format);
        const auto biases = static_cast<int32_t>(out.group_size) * code_bias(out.bits);
#pragma unroll
        for (int i = 0; i < kFours; ++i) {
            const int64_t c = column(i);
            if (c >= out.stride) break;  // the whole warp
            const GroupQuantizer group = quantizer_of(range_of(team, i), target, format);
            FourCodes codes;
            uint32_t word = 0;
            if (c < out.cols) {
                if (group.usable) codes = codes_of(x[i], group);
                word =
                    group.usable ? stored_codes(codes, group) : code_bias(out.bits) * 0x01010101u;
            }
            const int32_t sum = team.sum(static_cast<int32_t>(__dp4a(word, 0x01010101u, 0u)));
            if (!real) continue;
            *reinterpret_cast<uint32_t*>(out.codes + code_offset(out.rows, out.stride, index, c)) =
                word;
            if (kAtOnce && multiples) {
                store_multiples(out, index, c, codes, group.step_units, group.low_units,
                                format.bits);
            }
            if (team.rank() == 0 && c < out.cols) {
                store_group(target, index, c / out.group_size, group, sum - biases);
            }
        }
        if (!kAtOnce && multiples) write_multiples(target, index, format);
    }

    // Of the group that the thread's i-th four columns belong to.
    __device__ __forceinline__ KeyRange range_of(LaneTeam& team, int i) const {
        KeyRange range;
        for (const float value : {x[i].x, x[i].y, x[i].z, x[i].w}) {
            range.include(order_key(value));
        }
        return team.range(range);
    }

    // From the groups that can be quantized. Ranges are found again later: kept, they would take
    // the registers of wide rows.
    __device__ float unit_of_groups(BlockTeam& block, LaneTeam& team, const QuantizeTarget& target,
                                    const RowFormat& format) const {
        float largest = 0.0f;
#pragma unroll
        for (int i = 0; i < kFours; ++i) {
            const float step = step_of(range_of(team, i), target, format);
            if (isfinite(step)) largest = fmaxf(largest, step);
        }
        const int32_t key = order_key(largest);
        return unit_of_steps(from_order_key(of_sharers(block.range({key, key}).high)));
    }

    // The greatest of all blocks that share the row.
    __device__ __forceinline__ int32_t of_sharers(int32_t key) const {
        if constexpr (kSharers > 1) {
            __shared__ uint32_t keys[kSharers];
            if (threadIdx.x < kSharers) {
                store_remote(shared_address(keys + cluster_rank()), threadIdx.x,
                             static_cast<uint32_t>(key));
            }
            cluster_sync();
            for (const uint32_t other : keys) key = max(key, static_cast<int32_t>(other));
        }
        return key;
    }
};

}  // namespace quarot::kernels::cuda
