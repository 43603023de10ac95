#include "linalg/orthogonal.h"

#include <lapacke.h>

#include <cmath>
#include <limits>
#include <numbers>
#include <random>

#include "core/check.h"
#include "core/error.h"
#include "linalg/blas.h"

namespace quarot::linalg {
namespace {

// The top 53 bits, as a multiple of 2^-53 in [0, 1).
double uniform(std::mt19937_64& generator) {
    return static_cast<double>(generator() >> 11) * 0x1p-53;
}

// Box-Muller by pairs; the standard library's normal_distribution differs between libraries.
std::vector<double> standard_normals(int64_t count, uint32_t seed) {
    std::mt19937_64 generator(seed);
    std::vector<double> values(count);
    for (int64_t i = 0; i < count; i += 2) {
        const double radius = std::sqrt(-2.0 * std::log(1.0 - uniform(generator)));
        const double angle = 2.0 * std::numbers::pi * uniform(generator);
        values[i] = radius * std::cos(angle);
        if (i + 1 < count) values[i + 1] = radius * std::sin(angle);
    }
    return values;
}

void check_lapack(lapack_int status, const char* routine, int64_t n) {
    if (status == LAPACK_WORK_MEMORY_ERROR || status == LAPACK_TRANSPOSE_MEMORY_ERROR) {
        fail(ErrorCode::OutOfMemory,
             "random orthogonal matrix of order {}: {} found no memory for its work space", n,
             routine);
    }
    QUAROT_CHECK(status == 0, "{} returned {} for n = {}", routine, status, n);
}

}  // namespace

std::vector<double> random_signs(int64_t n, uint32_t seed) {
    QUAROT_CHECK(n >= 0, "n = {}", n);
    std::mt19937 generator(seed);
    std::vector<double> signs(n);
    for (double& sign : signs) sign = generator() % 2 == 1 ? 1.0 : -1.0;
    return signs;
}

std::vector<double> random_orthogonal(int64_t n, uint32_t seed) {
    QUAROT_CHECK(n >= 1 && n <= std::numeric_limits<lapack_int>::max(), "n = {}", n);
    use_single_threaded_blas();
    const auto order = static_cast<lapack_int>(n);
    std::vector<double> q = standard_normals(n * n, seed);
    std::vector<double> tau(n);
    check_lapack(LAPACKE_dgeqrf(LAPACK_ROW_MAJOR, order, order, q.data(), order, tau.data()),
                 "dgeqrf", n);
    std::vector<double> column_signs(n);
    for (int64_t j = 0; j < n; ++j) column_signs[j] = q[j * n + j] < 0.0 ? -1.0 : 1.0;
    check_lapack(LAPACKE_dorgqr(LAPACK_ROW_MAJOR, order, order, order, q.data(), order, tau.data()),
                 "dorgqr", n);
    for (int64_t i = 0; i < n; ++i) {
        for (int64_t j = 0; j < n; ++j) q[i * n + j] *= column_signs[j];
    }
    return q;
}

}  // namespace quarot::linalg
