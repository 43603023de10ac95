// Transforms of small blocks of neighbouring columns, whole rows in the registers of a CTA.
#pragma once

#include "kernels/cuda/rotate.h"

namespace quarot::kernels::cuda {

// 16-bit rows of at most 28,672 columns; blocks of 2^m columns, at most 128, or no transform at
// all; codes of one group a row or of groups that lanes share.
bool takes_register_path(const Rotation& rotation, const RotateInput& in,
                         const QuantizeTarget& target);

// As rotate_quantize, of what takes this path.
void rotate_quantize_registers(const Rotation& rotation, const RotateInput& in,
                               const QuantizeTarget& target, Stream stream);

}  // namespace quarot::kernels::cuda
