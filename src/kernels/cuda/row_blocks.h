// Blocks that hold one row of floats in shared memory.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/checked_math.h"

namespace quarot::kernels::cuda {

inline constexpr int kMostRowThreads = 1024;

// Threads for a row of so many columns: whole warps, four columns a thread, so that a lone row is
// read at once; kMostRowThreads at most. The number depends on the width alone, so that sums do
// too.
inline unsigned threads_for_row(int64_t cols) {
    return static_cast<unsigned>(32 * std::clamp<int64_t>(ceil_div(cols, int64_t{4 * 32}), 1, 32));
}

// Rows in the registers of a block, kFours times four columns a thread. A few rows take as many
// threads as there are, since everybody waits for the threads' work; of many rows several blocks
// share a multiprocessor and hide one another's barriers. Threads reach the stride of codes, so
// that they write the padding.
inline constexpr int kWideFours = 8;
inline constexpr unsigned kWideThreads = 896;  // more leave a thread too few registers
inline constexpr int64_t kMostRegisterColumns = int64_t{4} * kWideFours * kWideThreads;
inline constexpr int64_t kFewRows = 64;

constexpr unsigned most_threads(int fours) {
    return fours == kWideFours ? kWideThreads : kMostRowThreads;
}
inline unsigned threads_for_fours(int64_t cols, int fours) {
    return static_cast<unsigned>(32 * ceil_div(round_up(cols, int64_t{128}), int64_t{fours} * 128));
}
// Calls body.operator()<kFours>() with that of so many rows; of at most 8192 columns where kernels
// for wider ones do not exist.
template <bool kWide, class Body>
void with_fours(int64_t rows, int64_t cols, const Body& body) {
    const bool few = rows <= kFewRows;
    if (cols > (few ? 16384 : 8192)) {
        if constexpr (kWide) body.template operator()<kWideFours>();
    } else if (few ? cols > 8192 : cols >= 2048) {
        body.template operator()<4>();
    } else if (cols > 4096) {
        body.template operator()<2>();
    } else {
        body.template operator()<1>();
    }
}

// The row and what follows it start at multiples of 16 bytes.
inline int row_bytes(int64_t cols) {
    return static_cast<int>(round_up(cols, int64_t{4}) * 4);
}

}  // namespace quarot::kernels::cuda
