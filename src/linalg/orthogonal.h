// Orthogonal matrices for R1, and the sign vector of the randomized Hadamard.
#pragma once

#include <cstdint>
#include <vector>

namespace quarot::linalg {

// s_i = 2 * (mt19937(seed) output i mod 2) - 1; +1 or -1.
std::vector<double> random_signs(int64_t n, uint32_t seed);

// Haar-distributed orthogonal [n, n], row-major: QR of a standard normal matrix (own Box-Muller
// on mt19937_64, so equal everywhere up to rounding), columns multiplied by sign(diag R). LAPACK,
// fp64, one thread: the same bits whenever it is called again on the same machine. n >= 1; fails
// with OutOfMemory if LAPACK gets no work space.
std::vector<double> random_orthogonal(int64_t n, uint32_t seed);

}  // namespace quarot::linalg
