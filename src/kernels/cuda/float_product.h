// Linear layers with a floating-point side that cuBLASLt does not serve: quantized weights on
// floats, float weights on quantized rows, and few rows of fp32 on fp32.
#pragma once

#include <cstdint>
#include <variant>

#include "kernels/cuda/activation_layout.h"
#include "kernels/cuda/rows_view.h"
#include "kernels/cuda/stream.h"
#include "kernels/cuda/weight_layout.h"

namespace quarot::kernels::cuda {

// out = in W^T + bias (+ out), at most one side quantized: fp32 sums of exact or once rounded
// products in an order that follows from the columns, the scale applied as kernels::LinearArgs
// says, rounded once to the dtype of out. A row's bits depend on that row alone. All pointers are
// device memory.
struct FloatProduct {
    std::variant<RowsView, ActivationView> in;
    std::variant<RowsView, WeightView> weight;  // [out_features, in_features]
    const float* bias = nullptr;                // [out_features]
    RowsView out;                               // F32, F16 or BF16
    bool accumulate = false;                    // out += instead of out =
};

// Only enqueues.
void multiply(const FloatProduct& product, Stream stream);

}  // namespace quarot::kernels::cuda
