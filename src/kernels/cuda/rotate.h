// Rows through an online transform, with SwiGLU before it or quantizing after it in one kernel.
#pragma once

#include <cstdint>

#include "kernels/cuda/quantize_rows.h"
#include "kernels/cuda/rotation.h"
#include "kernels/cuda/rows_view.h"
#include "kernels/cuda/stream.h"

namespace quarot::kernels::cuda {

// What goes into a transform.
struct RotateInput {
    RowsView rows;               // a multiple of rotation.block() columns
    const void* up = nullptr;    // not null: silu(rows) * up is transformed; dtype as rows
    int64_t up_stride = 0;       // elements
    float* workspace = nullptr;  // rotate_workspace_bytes()
};

// fp32 rows of 2 * cols for the general kernel where two rows do not fit into shared memory; else
// 0.
int64_t rotate_workspace_bytes(const Rotation& rotation, const RowsView& rows);
// The most that any transform of so many rows and columns asks for.
int64_t rotate_workspace_bytes(int64_t rows, int64_t cols);

// 16-bit rows whose width has a tensor-core plan: sums in fp32, halves between the parts (each row
// scaled by a power of two so that none overflows). All else: fp32 throughout, the sums of the cpu
// backend in their order, in registers where blocks are small and rows become codes
// (rotate_registers.h), else the general kernel. A row's bits depend on that row alone.

// The transform as rows of `out` (F32, F16 or BF16), which may be in.rows. A row with a NaN or Inf
// becomes NaN at least in the block that holds it.
void rotate_rows(const Rotation& rotation, const RotateInput& in, const RowsView& out,
                 Stream stream);

// The transform as codes. in.rows.data may be overwritten (groups and zero points after a
// tensor-core transform pass through it).
void rotate_quantize(const Rotation& rotation, const RotateInput& in, const QuantizeTarget& target,
                     Stream stream);

}  // namespace quarot::kernels::cuda
