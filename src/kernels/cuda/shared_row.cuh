// A row of floats in the shared memory of a block, to its codes: any width, groups of any size.
#pragma once

#include <cstdint>

#include "kernels/cuda/block_reduce.cuh"
#include "kernels/cuda/row_multiples.cuh"
#include "kernels/cuda/row_quantizer.cuh"

namespace quarot::kernels::cuda {

// Lanes that take a group together: as many as it fills, so that a warp takes several small groups
// at a time.
__device__ __forceinline__ int lanes_of_group(int64_t size) {
    return fills_lanes(size) ? static_cast<int>(size / 4) : 32;
}

// The row of floats a block holds in shared memory, and where it goes. Every thread of the block
// runs it; `row` may have been written by other threads. Loops are not unrolled, so that 1024
// threads have registers enough.
struct SharedRowQuantizer {
    const QuantizeTarget& target;
    const float* row;  // [cols], aligned to 16 bytes
    int64_t index;     // of the row

    __device__ void run(BlockTeam& block) const {
        __syncthreads();
        const ActivationView& out = target.codes;
        RowFormat format = format_of_row(target, index);
        if (target.two_level) format.units = division_by_unit(unit_of_row(block, format));
        if (out.group_size == 0) {
            quantize_span(block, 0, format);
        } else {
            each_group([&](LaneTeam& team, int64_t g) { quantize_span(team, g, format); });
        }
        for (int64_t c = out.cols + threadIdx.x; c < out.stride; c += blockDim.x) {
            out.codes[code_offset(out.rows, out.stride, index, c)] = 0;
        }
        if (out.multiples != nullptr) write_multiples(target, index, format);
    }

  private:
    __device__ int64_t group_size() const {
        return target.codes.group_size == 0 ? target.codes.cols : target.codes.group_size;
    }

    // Calls body(team, group) for every group, by the lanes of its team. Where groups run out the
    // last one is done again.
    template <class Body>
    __device__ void each_group(const Body& body) const {
        const int64_t n_groups = target.codes.n_groups();
        LaneTeam team(lanes_of_group(group_size()));
        const int of_warp = 32 / team.size();
        const int64_t step = static_cast<int64_t>(blockDim.x) / team.size();
#pragma unroll 1
        for (int64_t first = threadIdx.x / 32 * of_warp; first < n_groups; first += step) {
            body(team, min(first + threadIdx.x % 32 / team.size(), n_groups - 1));
        }
    }

    template <class Team>
    __device__ KeyRange range_of(Team& team, int64_t g) const {
        const float* values = row + g * group_size();
        KeyRange range;
#pragma unroll 1
        for (int64_t c = team.rank(); c < group_size(); c += team.size()) {
            range.include(order_key(values[c]));
        }
        return team.range(range);
    }

    // From the groups that can be quantized.
    __device__ float unit_of_row(BlockTeam& block, const RowFormat& format) const {
        float largest = 0.0f;
        const auto include = [&](const KeyRange& range) {
            const float step = step_of(range, target, format);
            if (isfinite(step)) largest = fmaxf(largest, step);
        };
        if (target.codes.group_size == 0) {
            include(range_of(block, 0));
        } else {
            each_group([&](LaneTeam& team, int64_t g) { include(range_of(team, g)); });
        }
        const int32_t key = order_key(largest);
        return unit_of_steps(from_order_key(block.range({key, key}).high));
    }

    template <class Team>
    __device__ void quantize_span(Team& team, int64_t g, const RowFormat& format) const {
        const ActivationView& out = target.codes;
        const int64_t size = group_size();
        const float* values = row + g * size;
        const GroupQuantizer group = quantizer_of(range_of(team, g), target, format);
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
        return static_cast<uint32_t>(code_of(quotient, group) + group.lift);
    }

    // Both return the thread's sum of stored codes.
    template <class Team>
    __device__ int32_t write_words(const Team& team, const float* values, int64_t first,
                                   int64_t size, const GroupQuantizer& group) const {
        const ActivationView& out = target.codes;
        int32_t sum = 0;
#pragma unroll 1
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
#pragma unroll 1
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
