// How quantized weights lie in device memory: one layout for every product.
//
// A unit is 64 rows x 64 columns; units of 64 rows follow each other along the columns. Inside a
// unit each of 128 threads, lane 4 g + t of warp w, owns 16 bytes: the four words of operand A of
// m64k32 (wgmma) and of m16n8k32 (mma.sync), so that no product permutes anything.
//
//   word j, byte b:  row 16 w + g + 8 (j % 2),  column 16 (j / 2) + 4 t + b  of a step of 32
//   columns nibbles (bits <= 4), 2048 bytes: the low nibble is step 0, the high nibble step 1 bytes
//   (bits 5..8),   4096 bytes: the first 2048 bytes are step 0, the others step 1
//
// Stored is q - q_min, 0 .. 2^bits - 1, as in tensor/quantized_matrix.h; `zero` is the stored value
// that stands for 0. Rows are padded to 64 and columns to 128 with stored zeros, which add nothing
// to a sum of products of stored values.
#pragma once

#include <cstdint>

#include "kernels/cuda/activation_layout.h"
#include "kernels/cuda/stream.h"

namespace quarot::kernels::cuda {

struct WeightShape {
    int64_t rows = 0;
    int64_t cols = 0;
    int bits = 4;            // 2..8
    int64_t group_size = 0;  // along the columns, a divisor of cols; 0: one group a row
    bool symmetric = true;   // every zero is 2^(bits-1)

    QUAROT_HOST_DEVICE constexpr int64_t n_groups() const {
        return group_size == 0 ? 1 : cols / group_size;
    }
    QUAROT_HOST_DEVICE constexpr int64_t row_blocks() const { return (rows + 63) / 64; }
    QUAROT_HOST_DEVICE constexpr int64_t units_per_block() const { return (cols + 127) / 128 * 2; }
    QUAROT_HOST_DEVICE constexpr int unit_bytes() const { return bits <= 4 ? 2048 : 4096; }
    QUAROT_HOST_DEVICE constexpr int64_t code_bytes() const {
        return row_blocks() * units_per_block() * unit_bytes();
    }
    // Rows that have scales, zeros and sums, padding included.
    QUAROT_HOST_DEVICE constexpr int64_t padded_rows() const { return (rows + 127) / 128 * 128; }
    // Where a row's scale, zero and sum of a group are: groups of 64 rows follow each other as
    // their units do.
    QUAROT_HOST_DEVICE constexpr int64_t group_index(int64_t row, int64_t group) const {
        return (row / 64 * n_groups() + group) * 64 + row % 64;
    }
};

// Where one code lies.
struct CodePlace {
    int64_t byte = 0;
    int shift = 0;  // of its nibble in the byte; 0 where codes are bytes
};

QUAROT_HOST_DEVICE constexpr CodePlace code_place(const WeightShape& shape, int64_t row,
                                                  int64_t col) {
    const int64_t unit = row / 64 * shape.units_per_block() + col / 64;
    const int64_t warp = row % 64 / 16, group = row % 8, upper = row / 8 % 2;
    const int64_t step = col % 64 / 32, half = col % 32 / 16, lane = group * 4 + col % 16 / 4;
    const int64_t in_unit = (warp * 32 + lane) * 16 + (2 * half + upper) * 4 + col % 4;
    if (shape.bits <= 4) return {unit * 2048 + in_unit, static_cast<int>(step) * 4};
    return {unit * 4096 + step * 2048 + in_unit, 0};
}

// A weight matrix in device memory.
struct WeightView {
    WeightShape shape;
    uint8_t* codes = nullptr;  // code_bytes(), 128-byte aligned
    float* scales = nullptr;   // by group_index; rows of padding: 0
    int32_t* sums = nullptr;   // by group_index: sum of stored - zero
    uint8_t* zeros = nullptr;  // by group_index
};

// One allocation holds it all, 128-byte aligned.
int64_t weight_bytes(const WeightShape& shape);
WeightView place_weights(void* memory, const WeightShape& shape);

// Rows of the canonical form (tensor/quantized_matrix.h) in device memory.
struct CanonicalRows {
    const uint32_t* packed = nullptr;  // [count, packed_words(cols, bits)]
    const float* scales = nullptr;     // [count, n_groups]
    const int32_t* zeros = nullptr;    // [count, n_groups]
    int64_t first = 0;                 // a multiple of 64
    int64_t count = 0;                 // a multiple of 64 unless these are the last rows
};

// Writes codes, scales, zeros and sums of these rows, padding included. Only enqueues.
void pack_weights(const CanonicalRows& from, const WeightView& to, Stream stream);

}  // namespace quarot::kernels::cuda
