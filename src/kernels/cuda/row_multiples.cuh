// Values of scales of two levels as whole numbers of their row's unit, in the planes that products
// read (activation_layout.h).
#pragma once

#include <cstdint>

#include "kernels/cuda/device/float_bits.cuh"
#include "kernels/cuda/row_quantizer.cuh"

namespace quarot::kernels::cuda {

// The second bytes of four numbers, the first in the low byte.
__device__ __forceinline__ uint32_t pack_second_bytes(uint32_t a, uint32_t b, uint32_t c,
                                                      uint32_t d) {
    return __byte_perm(__byte_perm(a, b, 0x0051), __byte_perm(c, d, 0x0051), 0x5410);
}

__device__ __forceinline__ void store_plane(const ActivationView& out, int64_t row, int64_t col,
                                            int plane, uint32_t word) {
    const int64_t at =
        multiple_offset(out.rows, out.stride, multiple_planes(out.bits), row, col, plane);
    *reinterpret_cast<uint32_t*>(out.multiples + at) = word;
}

// Of rows of more than 4 bits: v = 256 (a + what a byte does not hold of it) + b.
__device__ __forceinline__ void store_wide_multiples(const ActivationView& out, int64_t row,
                                                     int64_t col, const uint32_t (&bits)[4]) {
    uint32_t high[4], rest[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        const int32_t a = (static_cast<int32_t>(bits[i]) - kFloatBits + 128) >> 8;
        const int32_t byte = min(max(a, -128), 127);
        high[i] = static_cast<uint32_t>(byte);
        rest[i] = static_cast<uint32_t>(a - byte);
    }
    store_plane(out, row, col, 1, pack_codes(high[0], high[1], high[2], high[3]));
    store_plane(out, row, col, 2, pack_codes(rest[0], rest[1], rest[2], rest[3]));
}

// Four columns from `col` on, a multiple of 4, of values step_units * code + low_units.
__device__ __forceinline__ void store_multiples(const ActivationView& out, int64_t row, int64_t col,
                                                const FourCodes& codes, float step_units,
                                                float low_units, int row_bits) {
    uint32_t bits[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        const float start = kFloatStart + low_units;  // exact, as what follows
        bits[i] = __float_as_uint(__fmaf_rn(step_units, codes.q[i], start));
    }
    store_plane(out, row, col, 0, pack_codes(bits[0], bits[1], bits[2], bits[3]));
    if (row_bits > 4) return store_wide_multiples(out, row, col, bits);
    if (out.bits > 4) store_plane(out, row, col, 2, 0);
    store_plane(out, row, col, 1,
                pack_second_bytes(bits[0] + 128, bits[1] + 128, bits[2] + 128, bits[3] + 128));
}

// One thread calls it.
__device__ __forceinline__ void store_row_unit(const ActivationView& out, int64_t row,
                                               const RowFormat& format) {
    out.row_units[row] = {format.units.scale, multiple_planes(format.bits)};
}

// A row's multiples from its codes, scales and zero points, which the block has written: for
// kernels that have too few registers while they do. All threads call it.
__device__ inline void write_multiples(const QuantizeTarget& target, int64_t row,
                                       const RowFormat& format) {
    const ActivationView& out = target.codes;
    const float unit = format.units.scale, half = static_cast<float>(1 << (format.bits - 1));
    const float lowest = out.bases == nullptr ? -half : 0.0f;
    const float lift = static_cast<float>(code_bias(out.bits)) - half - lowest;
    __syncthreads();
#pragma unroll 1
    for (int64_t c = 4 * threadIdx.x; c < out.stride; c += 4 * blockDim.x) {
        FourCodes codes;
        float step = 0.0f, low = 0.0f;
        if (c < out.cols) {
            const int64_t group = row * out.n_groups() + c / out.group_size;
            step = fminf(rintf(__fdiv_rn(out.scales[group], unit)), 255.0f);
            if (out.bases != nullptr) {  // what half the codes stand for
                low = rintf(__fdiv_rn(out.bases[group], unit)) - step * half;
            }
            const uint8_t* stored = out.codes + code_offset(out.rows, out.stride, row, c);
#pragma unroll
            for (int i = 0; i < 4; ++i) codes.q[i] = static_cast<float>(stored[i]) - lift;
        }
        store_multiples(out, row, c, codes, step, low, format.bits);
    }
    if (threadIdx.x == 0) store_row_unit(out, row, format);
}

}  // namespace quarot::kernels::cuda
