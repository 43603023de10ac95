// Orthogonal matrices for R1, and the sign vector of the randomized Hadamard.
#pragma once

#include <cstdint>
#include <vector>

#include "core/thread_pool.h"

namespace quarot::linalg {

// s_i = 2 * (mt19937(seed) output i mod 2) - 1; +1 or -1.
std::vector<double> random_signs(int64_t n, uint32_t seed);

// Haar-distributed orthogonal [n, n], row-major: QR of a standard normal matrix (own Box-Muller
// on mt19937_64, so equal everywhere up to rounding), columns multiplied by sign(diag R). LAPACK,
// fp64, one thread: the same bits whenever it is called again on the same machine. n >= 1; fails
// with OutOfMemory if LAPACK gets no work space.
std::vector<double> random_orthogonal(int64_t n, uint32_t seed);

// The largest |(Q Q^T - I)_ij| of a matrix [n, n] of finite numbers, row-major; infinite where a
// product is no number. The same bits for any number of threads.
double orthogonality_error(const std::vector<double>& q, int64_t n, ThreadPool& pool);

// A step of Newton and Schulz towards the nearest orthogonal matrix: (3 I - Q Q^T) Q / 2. Where the
// singular values lie near 1 it squares their distance from it.
std::vector<double> closer_to_orthogonal(const std::vector<double>& q, int64_t n, ThreadPool& pool);

}  // namespace quarot::linalg
