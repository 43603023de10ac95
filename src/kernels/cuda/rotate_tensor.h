// The transform of 16-bit rows by tensor cores; rotate.h chooses it.
#pragma once

#include "kernels/cuda/quantize_rows.h"
#include "kernels/cuda/rotate.h"

namespace quarot::kernels::cuda {

// Whether this input may go through the rotation's tensor plan: dtype, width and alignment fit.
bool takes_tensor_path(const Rotation& rotation, const RotateInput& in);

// The two results of the kernel. Symmetric codes of whole rows only.
void rotate_rows_tensor(const Rotation& rotation, const RotateInput& in, const RowsView& out,
                        Stream stream);
void rotate_quantize_tensor(const Rotation& rotation, const RotateInput& in,
                            const QuantizeTarget& target, Stream stream);

}  // namespace quarot::kernels::cuda
