#include "quantize/rounding/gptq_factor.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "core/check.h"
#include "core/error.h"
#include "core/log.h"
#include "linalg/cholesky.h"

namespace quarot::quantize {
namespace {

constexpr int kStrongerDampings = 5;
constexpr double kSmallestStrongerDamping = 1e-4;

void check_finite(const WeightInputs& inputs, ThreadPool& pool) {
    std::atomic<bool> finite{true};
    pool.parallel_for(inputs.n_cols, [&](int64_t row, int) {
        const auto values = inputs.hessian.subspan(row * inputs.n_cols, inputs.n_cols);
        if (!std::ranges::all_of(values, [](double h) { return std::isfinite(h); })) finite = false;
    });
    if (finite) return;
    fail(ErrorCode::Numeric,
         "{}: the Hessian of the calibration inputs holds NaN or Inf, expected finite numbers; do "
         "activations overflow there?",
         inputs.site);
}

// Of the Hessian as it is solved: 1 where no input arrives.
std::vector<double> diagonal_of(const WeightInputs& inputs) {
    std::vector<double> diagonal(inputs.n_cols);
    for (int64_t i = 0; i < inputs.n_cols; ++i) {
        const double h = inputs.hessian[i * inputs.n_cols + i];
        diagonal[i] = h == 0.0 ? 1.0 : h;
    }
    return diagonal;
}

// Of the columns that inputs reach: the ones of the others have another unit.
double mean_of_live(const WeightInputs& inputs) {
    double sum = 0.0;
    int64_t n_live = 0;
    for (int64_t i = 0; i < inputs.n_cols; ++i) {
        const double h = inputs.hessian[i * (inputs.n_cols + 1)];
        if (h == 0.0) continue;
        sum += h;
        ++n_live;
    }
    return n_live == 0 ? 0.0 : sum / static_cast<double>(n_live);
}

std::vector<int64_t> solve_order(const std::vector<double>& diagonal, int64_t n_codes,
                                 bool act_order) {
    std::vector<int64_t> order(diagonal.size());
    std::iota(order.begin(), order.end(), int64_t{0});
    if (act_order) {
        std::sort(order.begin(), order.begin() + n_codes, [&](int64_t a, int64_t b) {
            return diagonal[a] != diagonal[b] ? diagonal[a] > diagonal[b] : a < b;
        });
    }
    return order;
}

// The Hessian in solve order with `added` on its diagonal.
void copy_damped(const WeightInputs& inputs, const std::vector<double>& diagonal, double added,
                 GptqFactor& factor, ThreadPool& pool) {
    const int64_t n = inputs.n_cols;
    pool.parallel_for(n, [&](int64_t i, int) {
        const int64_t row = factor.order[i];
        for (int64_t j = 0; j < n; ++j) {
            factor.u[i * n + j] = inputs.hessian[row * n + factor.order[j]];
        }
        factor.u[i * n + i] = diagonal[row] + added;
    });
}

// 1 / U_ii^2 is what column i holds that the columns after it do not tell. Less than the rounding
// of H_ii means that the factor is noise, although its pivots happened to be positive.
bool is_above_rounding(const std::vector<double>& u, const std::vector<int64_t>& order,
                       const std::vector<double>& diagonal, double added) {
    const auto n = std::ssize(diagonal);
    const double rounding = static_cast<double>(n) * std::numeric_limits<double>::epsilon();
    for (int64_t i = 0; i < n; ++i) {
        if (!(u[i] * u[i] * (diagonal[order[i]] + added) * rounding < 1.0)) return false;
    }
    return true;
}

// Factors what factor.u holds, there or in the solver. The diagonal of U; nothing if there is none.
std::vector<double> factor_in_place(GptqFactor& factor, ThreadPool& pool,
                                    kernels::ColumnSolver* solver) {
    const auto n = std::ssize(factor.order);
    if (solver != nullptr) return solver->factor(factor.u, n);
    if (!linalg::inverse_cholesky(factor.u, n, pool)) return {};
    std::vector<double> diagonal(factor.order.size());
    for (int64_t i = 0; i < n; ++i) diagonal[i] = factor.u[i * n + i];
    return diagonal;
}

}  // namespace

std::optional<GptqFactor> factor_hessian(const WeightInputs& inputs, double damp, bool act_order,
                                         ThreadPool& pool, kernels::ColumnSolver* solver) {
    const int64_t n = inputs.n_cols;
    QUAROT_CHECK(std::ssize(inputs.hessian) == n * n, "{} values for {} columns",
                 inputs.hessian.size(), n);
    QUAROT_CHECK(inputs.n_codes >= 0 && inputs.n_codes <= n, "{} of {}", inputs.n_codes, n);
    check_finite(inputs, pool);
    const std::vector<double> diagonal = diagonal_of(inputs);
    GptqFactor factor;
    factor.order = solve_order(diagonal, inputs.n_codes, act_order);
    factor.dead.assign(n, false);
    for (int64_t i = 0; i < inputs.n_codes; ++i) {
        factor.dead[i] = inputs.hessian[factor.order[i] * (n + 1)] == 0.0;
    }
    if (std::ranges::all_of(inputs.hessian, [](double h) { return h == 0.0; })) return std::nullopt;
    factor.u.resize(n * n);
    const double mean = mean_of_live(inputs);
    for (int attempt = 0; attempt <= kStrongerDampings; ++attempt) {
        if (attempt > 0) damp = std::max(10.0 * damp, kSmallestStrongerDamping);
        copy_damped(inputs, diagonal, damp * mean, factor, pool);
        const std::vector<double> u = factor_in_place(factor, pool, solver);
        if (!u.empty() && is_above_rounding(u, factor.order, diagonal, damp * mean)) {
            if (solver != nullptr) factor.u = {};
            if (attempt > 0) {
                log_warning("{}: the Hessian is singular, damped by {:g} of its mean diagonal",
                            inputs.site, damp);
            }
            return factor;
        }
    }
    return std::nullopt;
}

}  // namespace quarot::quantize
