#include "linalg/blas.h"

#include <cblas.h>

#include <algorithm>
#include <limits>
#include <mutex>

#include "core/check.h"

namespace quarot::linalg {
namespace {

blasint to_blasint(int64_t value) {
    QUAROT_CHECK(value >= 0 && value <= std::numeric_limits<blasint>::max(), "{}", value);
    return static_cast<blasint>(value);
}

// A leading dimension must not be 0, even for an empty matrix.
blasint leading(int64_t columns) {
    return to_blasint(std::max<int64_t>(1, columns));
}

}  // namespace

void use_single_threaded_blas() {
    static std::once_flag once;
    std::call_once(once, [] { openblas_set_num_threads(1); });
}

void multiply(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, const double* a,
              const double* b, double* c) {
    use_single_threaded_blas();
    cblas_dgemm(CblasRowMajor, transpose_a ? CblasTrans : CblasNoTrans,
                transpose_b ? CblasTrans : CblasNoTrans, to_blasint(m), to_blasint(n),
                to_blasint(k), 1.0, a, leading(transpose_a ? m : k), b,
                leading(transpose_b ? k : n), 0.0, c, leading(n));
}

void subtract_product(const SubtractProduct& p) {
    use_single_threaded_blas();
    cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, to_blasint(p.m), to_blasint(p.n),
                to_blasint(p.k), -1.0, p.a, leading(p.a_stride), p.b, leading(p.n), 1.0, p.c,
                leading(p.n));
}

void multiply_by_upper(bool transpose, int64_t m, int64_t n, const double* u, double* b) {
    use_single_threaded_blas();
    cblas_dtrmm(CblasRowMajor, CblasRight, CblasUpper, transpose ? CblasTrans : CblasNoTrans,
                CblasNonUnit, to_blasint(m), to_blasint(n), 1.0, u, leading(n), b, leading(n));
}

}  // namespace quarot::linalg
