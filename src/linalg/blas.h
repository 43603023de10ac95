// Dense fp64 products, on one thread so that a run can be repeated bit for bit on one machine.
#pragma once

#include <cstdint>

namespace quarot::linalg {

// Tells the BLAS library of this process to use only the calling thread. Parallelism is ours: split
// the rows over the thread pool. The functions of this folder that use BLAS call it themselves.
void use_single_threaded_blas();

// c = op(a) op(b), all row-major and dense: op(a) is [m, k], op(b) is [k, n], c is [m, n] and
// overwritten. With transpose_a, a is stored as [k, m]; with transpose_b, b is stored as [n, k].
// c may not overlap a or b. Calls may run at the same time.
void multiply(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, const double* a,
              const double* b, double* c);

// c -= a^T b, all row-major: a is stored as [k, m] with a_stride elements from row to row, b is
// [k, n] and c [m, n], both dense. c may not overlap a or b.
struct SubtractProduct {
    int64_t m = 0, n = 0, k = 0;
    const double* a = nullptr;
    int64_t a_stride = 0;
    const double* b = nullptr;
    double* c = nullptr;
};
// Calls may run at the same time.
void subtract_product(const SubtractProduct& product);

// b = b op(u), row-major and dense: u [n, n] is upper triangular, op its transpose or nothing, b is
// [m, n]. Calls may run at the same time.
void multiply_by_upper(bool transpose, int64_t m, int64_t n, const double* u, double* b);

}  // namespace quarot::linalg
