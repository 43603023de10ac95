// The fast path of products of quantized weights and rows of floats.
#pragma once

#include "kernels/cuda/float_product.h"

namespace quarot::kernels::cuda {

// Rows of one group, or groups of a multiple of 64 columns.
bool takes_mixed(const WeightShape& shape);

// `product`, whose sides are `in` and `weight`, one shape, at least one row of floats. Only
// enqueues.
void multiply_mixed(const RowsView& in, const WeightView& weight, const FloatProduct& product,
                    Stream stream);

// The same on tensor cores: halves times symmetric weights. False, and nothing enqueued, where it
// takes none of these operands, whatever the number of rows.
bool multiply_mixed_tensor(const RowsView& in, const WeightView& weight,
                           const FloatProduct& product, Stream stream);

}  // namespace quarot::kernels::cuda
