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

constexpr int64_t kJudges = 2;  // tiles that a share is judged by

// Rows of a tile in fp64.
std::vector<double> widened(std::span<const float> values, int64_t first, int64_t end, int64_t n) {
    return {values.begin() + first * n, values.begin() + end * n};
}

// to += factor * other, both [n, n]
void add(double factor, const std::vector<double>& other, int64_t n, ThreadPool& pool,
         std::vector<double>& to) {
    pool.parallel_for(n, [&](int64_t row, int) {
        for (int64_t i = row * n; i < (row + 1) * n; ++i) to[i] += factor * other[i];
    });
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
    : n_(moments.n), pool_(pool) {
    Moments& fitted = moments.fitted;
    Moments& held_out = moments.held_out;
    auto factor = factor_hessian({.site = site, .n_cols = n_, .n_codes = n_, .hessian = fitted.own},
                                 damp, false, pool);
    if (factor) u_ = std::move(factor->u);
    distance_ = std::move(fitted.cross);
    add(-1.0, fitted.own, n_, pool, distance_);
    held_distance_ = std::move(held_out.cross);
    add(-1.0, held_out.own, n_, pool, held_distance_);
    add(1.0, held_out.own, n_, pool, fitted.own);
    hessian_ = {std::move(fitted.own), n_, fitted.n_tokens + held_out.n_tokens};
    held_own_ = std::move(held_out.own);
}

std::vector<float> TargetRefit::moves_of(const WeightMatrix& weight) const {
    QUAROT_CHECK(weight.cols == n_, "{} {}", weight.cols, n_);
    std::vector<float> moves(weight.values.size());
    if (u_.empty()) return moves;
    pool_.parallel_for(ceil_div(weight.rows, kTileRows), [&](int64_t tile, int) {
        throw_if_interrupted();
        const int64_t first = tile * kTileRows, end = std::min(first + kTileRows, weight.rows);
        auto rows = product(widened(weight.values, first, end, n_), distance_, n_);
        linalg::multiply_by_upper(true, end - first, n_, u_.data(), rows.data());
        linalg::multiply_by_upper(false, end - first, n_, u_.data(), rows.data());
        std::transform(rows.begin(), rows.end(), moves.begin() + first * n_,
                       [](double move) { return static_cast<float>(move); });
    });
    return moves;
}

// With E = W M, the squared distance of the outputs is a constant and
//   share^2 <E H, E> - 2 share <W (C - H), E>.
double TargetRefit::share_for(const WeightMatrix& weight, std::span<const float> moves) const {
    QUAROT_CHECK(weight.cols == n_ && std::ssize(moves) == weight.rows * n_, "{}", weight.cols);
    const int64_t n_tiles = ceil_div(weight.rows, kTileRows);
    const int64_t n_judges = std::min(n_tiles, kJudges);
    std::vector<double> squares(static_cast<size_t>(n_judges)), gains = squares;
    pool_.parallel_for(n_judges, [&](int64_t judge, int) {
        throw_if_interrupted();
        const int64_t first = judge * n_tiles / n_judges * kTileRows;
        const int64_t end = std::min(first + kTileRows, weight.rows);
        const auto moved = widened(moves, first, end, n_);
        const auto at = static_cast<size_t>(judge);
        squares[at] = dot(product(moved, held_own_, n_), moved);
        gains[at] = dot(product(widened(weight.values, first, end, n_), held_distance_, n_), moved);
    });
    const double square = std::accumulate(squares.begin(), squares.end(), 0.0);
    const double gain = std::accumulate(gains.begin(), gains.end(), 0.0);
    if (!(square > 0.0) || !(gain > 0.0)) return 0.0;
    return std::min(gain / square, 1.0);
}

}  // namespace quarot::quantize
