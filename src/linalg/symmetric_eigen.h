// The directions along which a symmetric matrix is largest.
#pragma once

#include <cstdint>
#include <vector>

namespace quarot::linalg {

// The k eigenvectors of a [n, n], symmetric and finite, with the largest eigenvalues: [k, n], one a
// row, by falling eigenvalue, of length 1. Their signs are whatever LAPACK gives. fp64, one thread:
// the same bits whenever it is called again on the same machine. 1 <= k <= n. Takes 4/3 n^3
// operations and more; fails with OutOfMemory if LAPACK gets no work space.
std::vector<double> leading_eigenvectors(std::vector<double> a, int64_t n, int64_t k);

}  // namespace quarot::linalg
