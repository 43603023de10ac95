// Which triangular factor has the inverse of a symmetric positive definite matrix?
#pragma once

#include <cstdint>
#include <span>

#include "core/thread_pool.h"

namespace quarot::linalg {

// h [n, n] row-major, symmetric, becomes the upper triangular U with h^-1 = U^T U, zeros below its
// diagonal, positive numbers on it. False, with h undefined, if h holds a NaN or Inf, or is not
// positive definite as far as fp64 can tell.
//
// Takes about 2/3 n^3 operations and one panel [n, 256] of memory. The bits of the result do not
// depend on the number of threads.
[[nodiscard]] bool inverse_cholesky(std::span<double> h, int64_t n, ThreadPool& pool);

}  // namespace quarot::linalg
