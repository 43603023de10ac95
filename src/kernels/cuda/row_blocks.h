// Blocks that hold one row of floats in shared memory.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/checked_math.h"

namespace quarot::kernels::cuda {

// Threads for a row of so many columns: whole warps, four columns a thread, so that a lone row is
// read at once; 1024 at most. The number depends on the width alone, so that sums do too.
inline unsigned threads_for_row(int64_t cols) {
    return static_cast<unsigned>(32 * std::clamp<int64_t>(ceil_div(cols, int64_t{4 * 32}), 1, 32));
}

// The row and what follows it start at multiples of 16 bytes.
inline int row_bytes(int64_t cols) {
    return static_cast<int>(round_up(cols, int64_t{4}) * 4);
}

}  // namespace quarot::kernels::cuda
