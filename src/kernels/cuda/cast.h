// Floating-point rows in another dtype.
#pragma once

#include <cstdint>

#include "kernels/cuda/rows_view.h"
#include "kernels/cuda/stream.h"

namespace quarot::kernels::cuda {

// Rounds to nearest even. F32, F16 and BF16 on both sides; out of the shape of in, not overlapping
// it. `overflow` (device memory, may be null) becomes 1 where a finite value becomes infinite.
// Only enqueues.
void cast_rows(const RowsView& in, const RowsView& out, int32_t* overflow, Stream stream);

}  // namespace quarot::kernels::cuda
