// How quantized activations lie in device memory: what the quantize kernels write and what every
// integer product reads.
//
// A code q - q_min takes one byte, 0 .. 2^bits - 1 (ops.h calls q - 2^(bits-1) or q the code:
// stored is that plus code_bias). Products are u8 x u8 and their sums are corrected by integers
// known beforehand: unsigned operands toggle fewer bits, which leaves the tensor cores a higher
// clock.
//
// More than kStreamedRows rows are row-major, `stride` bytes apart, a multiple of 128. Up to so
// many rows belong to the kernel that streams weights: there runs of 64 columns come one after the
// other, in each the rows, 64 bytes apart, and in each row the columns in an order that gives a
// lane its four operand words side by side:
//
//   column 16 c + 4 t + b of a run lies at byte 16 t + 4 c + b     c, t, b in 0..3
//
// Either way rows * stride bytes, and those of columns cols .. stride-1 are 0 (code_offset).
//
// Scales of two levels make every value a whole number of its row's unit, and products of groups
// multiply that number: v = 256 a + b, b and a signed bytes, in planes that lie as codes do. Where
// rows may have more than 4 bits, there is a third plane, of what is left of a where a byte does
// not hold it.
#pragma once

#include <cstdint>

#include "kernels/host_device.h"

namespace quarot::kernels::cuda {

inline constexpr int64_t kActivationAlignment = 128;  // of the base address and of the stride
inline constexpr int64_t kStreamedRows = 16;

// A row of multiples: what they count, and how many of its planes hold more than zeros.
struct RowUnit {
    float unit;
    int32_t planes;
};

// Quantized rows in device memory; fields as in kernels::QuantizedRows.
struct ActivationView {
    uint8_t* codes = nullptr;     // rows * stride bytes, aligned to kActivationAlignment
    float* scales = nullptr;      // [rows, n_groups]
    int32_t* offsets = nullptr;   // [rows, n_groups] or null: all 0
    float* bases = nullptr;       // [rows, n_groups] for real zero points, else null
    int32_t* row_sums = nullptr;  // [rows, n_groups]: sum of the group's signed codes
    // Scales of two levels in groups that products take so, else null: rows * stride bytes for each
    // of multiple_planes(bits) planes, and [rows].
    uint8_t* multiples = nullptr;
    RowUnit* row_units = nullptr;
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

QUAROT_HOST_DEVICE constexpr bool is_streamed(int64_t rows) {
    return rows <= kStreamedRows;
}

// Of rows of at most so many bits.
QUAROT_HOST_DEVICE constexpr int multiple_planes(int bits) {
    return bits <= 4 ? 2 : 3;
}

// Byte of a code. Four columns from a multiple of 4 stay together.
QUAROT_HOST_DEVICE constexpr int64_t code_offset(int64_t rows, int64_t stride, int64_t row,
                                                 int64_t col) {
    if (!is_streamed(rows)) return row * stride + col;
    const int64_t in_run = (col >> 2 & 3) << 4 | (col >> 4 & 3) << 2 | (col & 3);
    return (col / 64 * rows + row) * 64 + in_run;
}

// Byte of a plane of a multiple: planes of a row follow each other, those of few rows as a whole.
QUAROT_HOST_DEVICE constexpr int64_t multiple_offset(int64_t rows, int64_t stride, int planes,
                                                     int64_t row, int64_t col, int plane) {
    if (!is_streamed(rows)) return (row * planes + plane) * stride + col;
    return plane * rows * stride + code_offset(rows, stride, row, col);
}

}  // namespace quarot::kernels::cuda
