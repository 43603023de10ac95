// Orthogonal matrices for R1, and the sign vector of the randomized Hadamard.
#pragma once

#include <cstdint>
#include <vector>

namespace quarot::linalg {

// s_i = 2 * (mt19937(seed) output i mod 2) - 1; +1 or -1.
std::vector<double> random_signs(int64_t n, uint32_t seed);

// Haar-distributed orthogonal [n, n], row-major: QR of a standard normal matrix (own Box-Muller
// on mt19937_64, so equal everywhere), columns multiplied by sign(diag R). LAPACK, fp64.
std::vector<double> random_orthogonal(int64_t n, uint32_t seed);

}  // namespace quarot::linalg
