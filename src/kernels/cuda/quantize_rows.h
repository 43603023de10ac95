// Rows of floats to codes, scales and sums, and back.
#pragma once

#include <cstdint>

#include "kernels/cuda/activation_layout.h"
#include "kernels/cuda/rows_view.h"
#include "kernels/cuda/stream.h"

namespace quarot::kernels::cuda {

// Where codes go and how they are made; the formulas are those of tensor/affine.h, bit for bit.
// Symmetric unless codes.offsets (integer zero points) or codes.bases (real ones) is there. The
// range of a whole row includes 0, that of a group does not.
//
// A group that holds a NaN or Inf, or whose range fp32 does not hold, gets the codes of 0, scale 1
// and offset, base and sum 0; bad_site[row] becomes the lower of itself and `site`.
struct QuantizeTarget {
    ActivationView codes;
    float clip = 1.0f;
    int32_t site = 0;
    int32_t* bad_site = nullptr;  // [rows], set by the caller before; null: nobody asks
};

// in.rows == codes.rows, in.cols == codes.cols. Only enqueues, as every function here.
void quantize_rows(const RowsView& in, const QuantizeTarget& target, Stream stream);

// out = scale * (code - offset), or scale * code + base, codes signed as in ops.h.
void dequantize_rows(const ActivationView& in, const RowsView& out, Stream stream);

}  // namespace quarot::kernels::cuda
