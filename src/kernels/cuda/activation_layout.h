// How quantized activations lie in device memory: what the quantize kernels write and what every
// integer product reads.
//
// A code q - q_min takes one byte, 0 .. 2^bits - 1 (ops.h calls q - 2^(bits-1) or q the code:
// stored is that plus code_bias). Products are u8 x u8 and their sums are corrected by integers
// known beforehand: unsigned operands toggle fewer bits, which leaves the tensor cores a higher
// clock.
//
// Rows are row-major, `stride` bytes apart, a multiple of 128; bytes cols .. stride-1 are 0. Up to
// kInterleavedRows rows belong to the kernel that streams weights: there every run of 64 columns is
// permuted so that a lane finds its four operand words side by side (code_position).
//
//   column k of a run = 16 c + 4 t + b    lies at byte 16 t + 4 c + b     c, t, b in 0..3
#pragma once

#include <cstdint>

#ifdef __CUDACC__
#define QUAROT_HOST_DEVICE __host__ __device__
#else
#define QUAROT_HOST_DEVICE
#endif

namespace quarot::kernels::cuda {

inline constexpr int64_t kActivationAlignment = 128;  // of the base address and of the stride
inline constexpr int64_t kInterleavedRows = 16;

// Quantized rows in device memory; fields as in kernels::QuantizedRows.
struct ActivationView {
    uint8_t* codes = nullptr;     // [rows, stride], kActivationAlignment
    float* scales = nullptr;      // [rows, n_groups]
    int32_t* offsets = nullptr;   // [rows, n_groups] or null: all 0
    float* bases = nullptr;       // [rows, n_groups] for real zero points, else null
    int32_t* row_sums = nullptr;  // [rows, n_groups]: sum of the group's signed codes
    int64_t rows = 0;
    int64_t cols = 0;
    int64_t stride = 0;
    int bits = 4;            // 2..8
    int64_t group_size = 0;  // along the row, a divisor of cols; 0: one group a row

    QUAROT_HOST_DEVICE constexpr int64_t n_groups() const {
        return group_size == 0 ? 1 : cols / group_size;
    }
};

QUAROT_HOST_DEVICE constexpr int64_t activation_stride(int64_t cols) {
    return (cols + kActivationAlignment - 1) / kActivationAlignment * kActivationAlignment;
}

// What a stored byte has in excess of the signed code.
QUAROT_HOST_DEVICE constexpr int code_bias(int bits) {
    return 1 << (bits - 1);
}

QUAROT_HOST_DEVICE constexpr bool is_interleaved(int64_t rows) {
    return rows <= kInterleavedRows;
}

// Byte of column k in its row. Four columns from a multiple of 4 stay together.
QUAROT_HOST_DEVICE constexpr int64_t code_position(int64_t k, bool interleaved) {
    if (!interleaved) return k;
    return (k & ~int64_t{63}) | ((k >> 2 & 3) << 4) | ((k >> 4 & 3) << 2) | (k & 3);
}

}  // namespace quarot::kernels::cuda
