#include "quantize/rounding/target_refit.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "core/check.h"
#include "core/checked_math.h"
#include "core/process.h"
#include "linalg/blas.h"
#include "quantize/rounding/gptq_factor.h"

namespace quarot::quantize {
namespace {

constexpr int64_t kTileRows = 64;  // of every product

// run(first row, rows) for tiles of rows.
template <typename Run>
void for_tiles(int64_t n_rows, ThreadPool& pool, const Run& run) {
    pool.parallel_for(ceil_div(n_rows, kTileRows), [&](int64_t tile, int) {
        const int64_t first = tile * kTileRows;
        run(first, std::min(kTileRows, n_rows - first));
    });
}

// to = a * to + b * other
void combine(double a, std::vector<double>& to, double b, const std::vector<double>& other,
             int64_t n, ThreadPool& pool) {
    pool.parallel_for(n, [&](int64_t row, int) {
        for (int64_t i = row * n; i < (row + 1) * n; ++i) to[i] = a * to[i] + b * other[i];
    });
}

std::vector<double> widened(std::span<const float> values) {
    return {values.begin(), values.end()};
}

// [rows, n] times [n, n]
std::vector<double> product(const std::vector<double>& rows, const std::vector<double>& square,
                            int64_t n) {
    std::vector<double> out(rows.size());
    linalg::multiply(false, false, std::ssize(rows) / n, n, n, rows.data(), square.data(),
                     out.data());
    return out;
}

double dot(const std::vector<double>& a, const std::vector<double>& b) {
    return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
}

}  // namespace

TargetRefit::TargetRefit(const std::string& site, SiteMoments moments, double damp,
                         ThreadPool& pool)
    : pool_(pool) {
    Moments& fitted = moments.fitted;
    Moments& held_out = moments.held_out;
    while (n_ * n_ < std::ssize(fitted.own)) ++n_;
    QUAROT_CHECK(n_ * n_ == std::ssize(fitted.own), "{}", fitted.own.size());
    const auto factor = factor_hessian(
        {.site = site, .n_cols = n_, .n_codes = n_, .hessian = fitted.own}, damp, false, pool);
    map_ = std::move(fitted.cross);
    combine(1.0, map_, -1.0, fitted.own, n_, pool);
    for_tiles(n_, pool, [&](int64_t first, int64_t count) {
        throw_if_interrupted();
        double* tile = map_.data() + first * n_;
        if (!factor) return std::fill(tile, tile + count * n_, 0.0);
        linalg::multiply_by_upper(true, count, n_, factor->u.data(), tile);
        linalg::multiply_by_upper(false, count, n_, factor->u.data(), tile);
    });
    held_distance_ = std::move(held_out.cross);
    combine(1.0, held_distance_, -1.0, held_out.own, n_, pool);
    combine(1.0, fitted.own, 1.0, held_out.own, n_, pool);
    hessian_ = {std::move(fitted.own), n_, fitted.n_tokens + held_out.n_tokens};
    held_own_ = std::move(held_out.own);
}

// With E = W M, the squared distance of the outputs is a constant and
//   share^2 <E H, E> - 2 share <W (C - H), E>.
double TargetRefit::share_for(const WeightMatrix& weight) const {
    QUAROT_CHECK(weight.cols == n_, "{} {}", weight.cols, n_);
    const auto n_tiles = static_cast<size_t>(ceil_div(weight.rows, kTileRows));
    std::vector<double> squares(n_tiles), gains(n_tiles);
    for_tiles(weight.rows, pool_, [&](int64_t first, int64_t count) {
        throw_if_interrupted();
        const auto w = widened(weight.values.subspan(static_cast<size_t>(first * n_),
                                                     static_cast<size_t>(count * n_)));
        const std::vector<double> moved = product(w, map_, n_);
        const auto tile = static_cast<size_t>(first / kTileRows);
        squares[tile] = dot(product(moved, held_own_, n_), moved);
        gains[tile] = dot(product(w, held_distance_, n_), moved);
    });
    const double square = std::accumulate(squares.begin(), squares.end(), 0.0);
    const double gain = std::accumulate(gains.begin(), gains.end(), 0.0);
    if (!(square > 0.0) || !(gain > 0.0)) return 0.0;
    return std::min(gain / square, 1.0);
}

std::vector<float> TargetRefit::rows(const WeightMatrix& weight, double share) const {
    QUAROT_CHECK(weight.cols == n_, "{} {}", weight.cols, n_);
    std::vector<float> targets(weight.values.begin(), weight.values.end());
    if (share == 0.0) return targets;
    for (int64_t first = 0; first < weight.rows; first += kTileRows) {
        const int64_t count = std::min(kTileRows, weight.rows - first);
        const auto w = widened(weight.values.subspan(static_cast<size_t>(first * n_),
                                                     static_cast<size_t>(count * n_)));
        const std::vector<double> moved = product(w, map_, n_);
        for (size_t i = 0; i < w.size(); ++i) {
            targets[static_cast<size_t>(first * n_) + i] =
                static_cast<float>(w[i] + share * moved[i]);
        }
    }
    return targets;
}

}  // namespace quarot::quantize
