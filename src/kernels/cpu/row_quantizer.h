// From a row of floats to codes, scale and zero point: activations, K and V.
#pragma once

#include "kernels/cpu/isa_kernels.h"
#include "kernels/ops.h"
#include "tensor/affine.h"

namespace quarot::kernels::cpu {

// Writes row `row` of `out`; false, with codes 0 and scale 1, if `x` holds a NaN or Inf.
bool quantize_activation_row(const IsaKernels& isa, const float* x, const QuantizedRows& out,
                             int64_t row);

// Asymmetric codes of one K or V vector, a byte each; false as above.
bool quantize_kv_vector(const IsaKernels& isa, const float* x, int64_t n, const KvFormat& format,
                        uint8_t* codes, Affine& affine);

}  // namespace quarot::kernels::cpu
