// The canonical quantized weight: integer codes with scales, as the file stores it.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "tensor/bit_pack.h"
#include "tensor/tensor.h"

namespace quarot {

// W[r][c] = scale(r, g) * (q(r, c) - zero(r, g)), g = c / group_size.
//   symmetric:  q in [-2^(b-1), 2^(b-1)-1], no zero points
//   asymmetric: q in [0, 2^b - 1], zero points in the same range
// Stored is q - q_min, so packed values are always 0 .. 2^b - 1.
struct QuantizedMatrix {
    int64_t rows = 0;
    int64_t cols = 0;
    int bits = 4;            // 2..8
    int64_t group_size = 0;  // along cols; 0: one group a row
    bool symmetric = true;
    Tensor packed;       // I32 [rows, packed_words(cols, bits)]
    Tensor scales;       // F32 [rows, 1] or, with groups, F16 [rows, cols / group_size]
    Tensor zero_points;  // U8, shape of scales; empty when symmetric

    int64_t n_groups() const { return group_size == 0 ? 1 : cols / group_size; }
    int q_min() const { return symmetric ? -(1 << (bits - 1)) : 0; }
    float scale(int64_t row, int64_t group) const;
    int zero(int64_t row, int64_t group) const;

    // The stored values q - q_min of one row, out.size() == cols.
    void unpack_row(int64_t row, std::span<uint8_t> out) const;
    // Sets one row from q - q_min.
    void pack_row(int64_t row, std::span<const uint8_t> values);
    // fp32 scale * (q - zero) of one row, out.size() == cols.
    void dequantize_row(int64_t row, std::span<float> out) const;
    // Bytes of codes, scales and zero points.
    int64_t bytes() const { return packed.bytes() + scales.bytes() + zero_points.bytes(); }
};

// Empty codes and scales of the right shapes and dtypes.
QuantizedMatrix make_quantized_matrix(int64_t rows, int64_t cols, int bits, int64_t group_size,
                                      bool symmetric);

}  // namespace quarot
