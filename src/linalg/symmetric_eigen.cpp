#include "linalg/symmetric_eigen.h"

#include <lapacke.h>

#include <algorithm>
#include <limits>

#include "core/check.h"
#include "core/error.h"
#include "linalg/blas.h"

namespace quarot::linalg {

// LAPACK counts columns first, so an eigenvector, which is a column there, is a row here.
std::vector<double> leading_eigenvectors(std::vector<double> a, int64_t n, int64_t k) {
    QUAROT_CHECK(k >= 1 && k <= n && n <= std::numeric_limits<lapack_int>::max(), "{} of {}", k, n);
    QUAROT_CHECK(std::ssize(a) == n * n, "{} numbers, n = {}", a.size(), n);
    use_single_threaded_blas();
    const auto order = static_cast<lapack_int>(n), first = static_cast<lapack_int>(n - k + 1);
    std::vector<double> values(static_cast<size_t>(n)), rising(static_cast<size_t>(k * n));
    std::vector<lapack_int> support(static_cast<size_t>(2 * k));
    lapack_int found = 0;
    const lapack_int status =
        LAPACKE_dsyevr(LAPACK_COL_MAJOR, 'V', 'I', 'L', order, a.data(), order, 0.0, 0.0, first,
                       order, 0.0, &found, values.data(), rising.data(), order, support.data());
    if (status == LAPACK_WORK_MEMORY_ERROR) {
        fail(ErrorCode::OutOfMemory,
             "eigenvectors of a matrix of order {}: dsyevr found no memory for its work space", n);
    }
    QUAROT_CHECK(status == 0 && found == k, "dsyevr returned {} with {} of {} vectors", status,
                 found, k);
    std::vector<double> falling(rising.size());
    for (int64_t i = 0; i < k; ++i) {
        std::copy_n(rising.begin() + (k - 1 - i) * n, n, falling.begin() + i * n);
    }
    return falling;
}

}  // namespace quarot::linalg
