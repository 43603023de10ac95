// Rows of floats to codes, scales and sums, and back.
#pragma once

#include <cstdint>

#include "kernels/cuda/activation_layout.h"
#include "kernels/cuda/rows_view.h"
#include "kernels/cuda/stream.h"

namespace quarot::kernels::cuda {

// Where codes go and how they are made; the formulas are those of tensor/affine.h, bit for bit.
// Symmetric unless codes.offsets (integer zero points) or codes.bases (real ones) is there. The
// range of a whole row includes 0, and so does that of a group whose scale counts in units of its
// row; that of any other group does not.
//
// codes.bits are those of the widest rows, which all rows are stored by. They are the bits of rows
// at the first positions, which are not clipped; all other rows have `bits`.
//
// codes.multiples: of two levels and groups of 4 to 128 columns, a power of two.
//
// A group that holds a NaN or Inf, or whose range fp32 does not hold, gets the codes of 0, scale 1
// and offset, base and sum 0; bad_site[row] becomes the lower of itself and `site`.
struct QuantizeTarget {
    ActivationView codes;
    float clip = 1.0f;
    int32_t site = 0;
    int32_t* bad_site = nullptr;  // [rows], set by the caller before; null: nobody asks
    int bits = 4;                 // at most codes.bits
    bool two_level = false;       // scales and bases are whole numbers of a unit of their row
    int64_t first_positions = 0;  // of a sequence
    const int32_t* positions = nullptr;  // [rows], set before the step began; null: no first ones
};

// Fails where the fields contradict each other.
void check_target(const QuantizeTarget& target);

// in.rows == codes.rows, in.cols == codes.cols. Only enqueues, as every function here.
void quantize_rows(const RowsView& in, const QuantizeTarget& target, Stream stream);

// out = scale * (code - offset), or scale * code + base, codes signed as in ops.h.
void dequantize_rows(const ActivationView& in, const RowsView& out, Stream stream);

}  // namespace quarot::kernels::cuda
