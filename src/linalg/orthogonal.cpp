#include "linalg/orthogonal.h"

#include <lapacke.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numbers>
#include <random>

#include "core/check.h"
#include "core/checked_math.h"
#include "core/error.h"
#include "core/process.h"
#include "core/progress.h"
#include "linalg/blas.h"

namespace quarot::linalg {
namespace {

constexpr int64_t kTileRows = 64;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

// body(tile, first row, rows) for all rows of a matrix, on all threads.
void for_each_tile(const char* what, int64_t n, ThreadPool& pool,
                   const std::function<void(int64_t, int64_t, int64_t)>& body) {
    QUAROT_CHECK(n >= 1, "n = {}", n);
    const int64_t n_tiles = ceil_div(n, kTileRows);
    Progress progress(what, n_tiles);
    for (int64_t first = 0; first < n_tiles; first += pool.size()) {
        throw_if_interrupted();
        const int64_t count = std::min<int64_t>(pool.size(), n_tiles - first);
        pool.parallel_for(count, [&](int64_t i, int) {
            const int64_t row = (first + i) * kTileRows;
            body(first + i, row, std::min(kTileRows, n - row));
        });
        progress.advance(count);
    }
}

// Rows of Q Q^T - I.
std::vector<double> minus_identity(const std::vector<double>& q, int64_t n, int64_t first,
                                   int64_t rows) {
    std::vector<double> product(static_cast<size_t>(rows * n));
    multiply(false, true, rows, n, n, q.data() + first * n, q.data(), product.data());
    for (int64_t i = 0; i < rows; ++i) product[static_cast<size_t>(i * n + first + i)] -= 1.0;
    return product;
}

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

double orthogonality_error(const std::vector<double>& q, int64_t n, ThreadPool& pool) {
    std::vector<double> errors(static_cast<size_t>(ceil_div(n, kTileRows)));
    for_each_tile("checking orthogonality", n, pool,
                  [&](int64_t tile, int64_t first, int64_t rows) {
                      double& worst = errors[static_cast<size_t>(tile)];
                      for (const double value : minus_identity(q, n, first, rows)) {
                          const double error = std::fabs(value);
                          worst = error >= worst ? error : std::isnan(error) ? kInfinity : worst;
                      }
                  });
    return *std::max_element(errors.begin(), errors.end());
}

std::vector<double> closer_to_orthogonal(const std::vector<double>& q, int64_t n,
                                         ThreadPool& pool) {
    std::vector<double> closer(q.size());
    for_each_tile("nearest orthogonal matrix", n, pool, [&](int64_t, int64_t first, int64_t rows) {
        const std::vector<double> error = minus_identity(q, n, first, rows);
        std::vector<double> change(error.size());
        multiply(false, false, rows, n, n, error.data(), q.data(), change.data());
        for (size_t i = 0; i < change.size(); ++i) {
            const size_t at = static_cast<size_t>(first * n) + i;
            closer[at] = q[at] - change[i] / 2.0;
        }
    });
    return closer;
}

}  // namespace quarot::linalg
