// With J the reversal of rows and columns and J h J = L L^T, L lower: h = (J L J)(J L J)^T, and
// U = (J L J)^-1 = J L^-1 J is upper. So: reverse, factor, invert the triangle, reverse back. The
// other way, by h^-1 as a whole and its factor, costs more than twice as much.
#include "linalg/cholesky.h"

#include <cblas.h>
#include <lapacke.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "core/check.h"
#include "core/checked_math.h"
#include "core/process.h"
#include "linalg/blas.h"

namespace quarot::linalg {
namespace {

constexpr int64_t kTile = 256;

// A row-major square matrix as square tiles; those at the lower and right border may be smaller.
// Every product below is of whole tiles, so that its bits depend on n alone.
class TiledMatrix {
  public:
    TiledMatrix(double* data, int64_t n) : data_(data), n_(n) {}
    int64_t n_tiles() const { return ceil_div(n_, kTile); }
    blasint size(int64_t i) const { return static_cast<blasint>(std::min(kTile, n_ - i * kTile)); }
    blasint stride() const { return static_cast<blasint>(n_); }
    double* tile(int64_t i, int64_t j) const { return data_ + i * kTile * n_ + j * kTile; }

  private:
    double* data_;
    int64_t n_;
};

// The place of a task in the list (0,0) (1,0) (1,1) (2,0) ...
std::pair<int64_t, int64_t> lower_triangle_place(int64_t task) {
    int64_t row = 0;
    while (task > row) task -= ++row;
    return {row, task};
}

// LAPACK counts columns first, so the lower triangle of our rows is its upper one.
bool factor_diagonal(const TiledMatrix& a, int64_t k) {
    const blasint size = a.size(k), stride = a.stride();
    double* diagonal = a.tile(k, k);
    if (LAPACKE_dpotrf_work(LAPACK_COL_MAJOR, 'U', size, diagonal, stride) != 0) return false;
    for (int64_t i = 0; i < size; ++i) {
        if (!std::isfinite(diagonal[i * stride + i])) return false;
    }
    return true;
}

bool invert_diagonal(const TiledMatrix& a, int64_t k) {
    return LAPACKE_dtrtri_work(LAPACK_COL_MAJOR, 'U', 'N', a.size(k), a.tile(k, k), a.stride()) ==
           0;
}

// a_ij -= a_ik a_jk^T
void subtract_product(const TiledMatrix& a, int64_t i, int64_t j, int64_t k) {
    const blasint stride = a.stride();
    if (i == j) {
        cblas_dsyrk(CblasRowMajor, CblasLower, CblasNoTrans, a.size(i), a.size(k), -1.0,
                    a.tile(i, k), stride, 1.0, a.tile(i, i), stride);
        return;
    }
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, a.size(i), a.size(j), a.size(k), -1.0,
                a.tile(i, k), stride, a.tile(j, k), stride, 1.0, a.tile(i, j), stride);
}

// The lower triangle becomes L, a = L L^T; what stands above is neither read nor changed.
bool factor(const TiledMatrix& a, ThreadPool& pool) {
    for (int64_t k = 0; k < a.n_tiles(); ++k) {
        throw_if_interrupted();
        if (!factor_diagonal(a, k)) return false;
        const int64_t first = k + 1, rest = a.n_tiles() - first;
        pool.parallel_for(rest, [&](int64_t task, int) {
            const int64_t i = first + task;
            cblas_dtrsm(CblasRowMajor, CblasRight, CblasLower, CblasTrans, CblasNonUnit, a.size(i),
                        a.size(k), 1.0, a.tile(k, k), a.stride(), a.tile(i, k), a.stride());
        });
        pool.parallel_for(rest * (rest + 1) / 2, [&](int64_t task, int) {
            const auto [row, column] = lower_triangle_place(task);
            subtract_product(a, first + row, first + column, k);
        });
    }
    return true;
}

// The lower triangle becomes its inverse M, from the last column of tiles to the first: below the
// diagonal M_ij = -(sum over k in (j, i] of M_ik L_kj) L_jj^-1.
bool invert(const TiledMatrix& a, ThreadPool& pool) {
    const int64_t n_tiles = a.n_tiles();
    const blasint stride = a.stride();
    std::vector<double> panel(static_cast<size_t>((n_tiles - 1) * kTile * kTile));
    for (int64_t j = n_tiles - 1; j >= 0; --j) {
        throw_if_interrupted();
        const int64_t first = j + 1, rest = n_tiles - first;
        pool.parallel_for(rest, [&](int64_t task, int) {
            for (int64_t r = 0; r < a.size(first + task); ++r) {
                std::copy_n(a.tile(first + task, j) + r * stride, kTile,
                            panel.data() + (task * kTile + r) * kTile);
            }
        });
        pool.parallel_for(rest, [&](int64_t task, int) {
            const int64_t i = n_tiles - 1 - task;  // the longest sum first
            double* out = a.tile(i, j);
            cblas_dtrmm(CblasRowMajor, CblasLeft, CblasLower, CblasNoTrans, CblasNonUnit, a.size(i),
                        kTile, 1.0, a.tile(i, i), stride, out, stride);
            if (i > first) {
                cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, a.size(i), kTile,
                            static_cast<blasint>((i - first) * kTile), 1.0, a.tile(i, first),
                            stride, panel.data(), kTile, 1.0, out, stride);
            }
            cblas_dtrsm(CblasRowMajor, CblasRight, CblasLower, CblasNoTrans, CblasNonUnit,
                        a.size(i), kTile, -1.0, a.tile(j, j), stride, out, stride);
        });
        if (!invert_diagonal(a, j)) return false;
    }
    return true;
}

// Rows and columns in reverse order.
void reverse(double* data, int64_t n, ThreadPool& pool) {
    pool.parallel_for(ceil_div(n, 2), [&](int64_t row, int) {
        double* upper = data + row * n;
        double* lower = data + (n - 1 - row) * n;
        if (upper == lower) {
            std::reverse(upper, upper + n);
        } else {
            std::swap_ranges(upper, upper + n, std::make_reverse_iterator(lower + n));
        }
    });
}

bool all_finite(const double* data, int64_t n, ThreadPool& pool) {
    std::atomic<bool> finite = true;
    pool.parallel_for(n, [&](int64_t row, int) {
        const double* values = data + row * n;
        if (!std::all_of(values, values + n, [](double x) { return std::isfinite(x); })) {
            finite = false;
        }
    });
    return finite;
}

}  // namespace

bool inverse_cholesky(std::span<double> h, int64_t n, ThreadPool& pool) {
    QUAROT_CHECK(n >= 0 && n <= std::numeric_limits<blasint>::max(), "n = {}", n);
    QUAROT_CHECK(std::ssize(h) == n * n, "{} numbers, n = {}", h.size(), n);
    if (n == 0) return true;
    use_single_threaded_blas();
    if (!all_finite(h.data(), n, pool)) return false;
    reverse(h.data(), n, pool);
    const TiledMatrix tiles(h.data(), n);
    if (!factor(tiles, pool) || !invert(tiles, pool)) return false;
    pool.parallel_for(n, [&](int64_t row, int) {
        std::fill(h.begin() + row * n + row + 1, h.begin() + (row + 1) * n, 0.0);
    });
    reverse(h.data(), n, pool);
    return all_finite(h.data(), n, pool);
}

}  // namespace quarot::linalg
