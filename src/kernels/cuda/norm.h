// Norms of rows, with the residual addition before it and quantizing after it in one kernel.
#pragma once

#include <cstdint>

#include "kernels/cuda/quantize_rows.h"
#include "kernels/cuda/rows_view.h"
#include "kernels/cuda/stream.h"

namespace quarot::kernels::cuda {

// out = x / sqrt(mean(x^2) + eps) * gain in fp32, x = in, or with a residual x = residual + in
// (+ bias), which becomes the residual. Squares are summed in fp32 after a power of two where the
// row's largest |x| asks for it, so that no finite row overflows or vanishes.
struct NormInput {
    RowsView in;
    float* residual = nullptr;     // [rows, residual_stride] or null
    int64_t residual_stride = 0;   // elements
    const float* bias = nullptr;   // [cols] or null; only with a residual
    bool centred = false;          // x minus the mean of its row for x
    const float* gain = nullptr;   // [cols] or null: ones
    const float* shift = nullptr;  // [cols], added at the end, or null: zeros
    float eps = 1e-5f;
};

// Only enqueue, as every function here. `out` may be the input's rows.
void norm(const NormInput& in, const RowsView& out, Stream stream);
void norm_quantize(const NormInput& in, const QuantizeTarget& target, Stream stream);

// Every run of `group` columns is normalized by itself, with the same gain [group]: the norms of
// queries and keys. cols is a multiple of group; in place if out is in.
struct GroupNormArgs {
    RowsView in;
    RowsView out;
    int64_t group = 0;
    bool centred = false;
    const float* gain = nullptr;
    const float* shift = nullptr;
    float eps = 1e-5f;
};
void norm_groups(const GroupNormArgs& args, Stream stream);

}  // namespace quarot::kernels::cuda
