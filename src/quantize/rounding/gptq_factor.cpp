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

// h_ii of every column.
std::vector<double> diagonal_of(const WeightInputs& inputs) {
    if (inputs.device_hessian) {
        const auto diagonal = inputs.device_hessian->diagonal;
        return {diagonal.begin(), diagonal.end()};
    }
    std::vector<double> diagonal(inputs.n_cols);
    for (int64_t i = 0; i < inputs.n_cols; ++i) {
        diagonal[i] = inputs.hessian[i * (inputs.n_cols + 1)];
    }
    return diagonal;
}

bool all_finite(std::span<const double> values) {
    return std::ranges::all_of(values, [](double h) { return std::isfinite(h); });
}

// On a device the diagonal tells: no sum of products is larger than the sums of squares of its
// factors, and one that is not a number makes theirs none.
void check_finite(const WeightInputs& inputs, const std::vector<double>& diagonal,
                  ThreadPool& pool) {
    std::atomic<bool> finite = all_finite(diagonal);
    if (!inputs.device_hessian) {
        pool.parallel_for(inputs.n_cols, [&](int64_t row, int) {
            const auto values = inputs.hessian.subspan(row * inputs.n_cols, inputs.n_cols);
            if (!all_finite(values)) finite = false;
        });
    }
    if (finite) return;
    fail(ErrorCode::Numeric,
         "{}: the Hessian of the calibration inputs holds NaN or Inf, expected finite numbers; do "
         "activations overflow there?",
         inputs.site);
}

// Of the columns that inputs reach: as they are solved, the others have 1 there, in another unit.
double mean_of_live(const std::vector<double>& diagonal) {
    double sum = 0.0;
    int64_t n_live = 0;
    for (const double h : diagonal) {
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

// The diagonal in solve order, damped.
std::vector<double> damped_diagonal(const std::vector<double>& diagonal,
                                    const std::vector<int64_t>& order, double added) {
    std::vector<double> damped;
    for (const int64_t column : order) damped.push_back(diagonal[column] + added);
    return damped;
}

// 1 / U_ii^2 is what column i holds that the columns after it do not tell. Less than the rounding
// of H_ii means that the factor is noise, although its pivots happened to be positive.
bool is_above_rounding(const std::vector<double>& u, const std::vector<double>& diagonal) {
    const auto n = std::ssize(diagonal);
    const double rounding = static_cast<double>(n) * std::numeric_limits<double>::epsilon();
    for (int64_t i = 0; i < n; ++i) {
        if (!(u[i] * u[i] * diagonal[i] * rounding < 1.0)) return false;
    }
    return true;
}

// The diagonal of U, which becomes factor.u; nothing if there is none.
std::vector<double> factor_on_host(std::span<const double> hessian,
                                   const std::vector<double>& diagonal, GptqFactor& factor,
                                   ThreadPool& pool) {
    const auto n = std::ssize(factor.order);
    factor.u.resize(n * n);
    pool.parallel_for(n, [&](int64_t i, int) {
        const int64_t row = factor.order[i];
        for (int64_t j = 0; j < n; ++j) {
            factor.u[i * n + j] = hessian[row * n + factor.order[j]];
        }
        factor.u[i * n + i] = diagonal[i];
    });
    if (!linalg::inverse_cholesky(factor.u, n, pool)) return {};
    std::vector<double> u(factor.order.size());
    for (int64_t i = 0; i < n; ++i) u[i] = factor.u[i * n + i];
    return u;
}

// The same of U in the solver.
std::vector<double> factor_on_device(const kernels::HessianSums& hessian,
                                     const std::vector<double>& diagonal, const GptqFactor& factor,
                                     kernels::ColumnSolver& solver) {
    const std::vector<int32_t> order(factor.order.begin(), factor.order.end());
    return solver.factor({.hessian = hessian, .order = order, .diagonal = diagonal});
}

}  // namespace

std::vector<double> importance_of(const WeightInputs& inputs, const WeightFormat& format) {
    if (format.scale_search == ScaleSearch::Power) return {};
    std::vector<double> importance = diagonal_of(inputs);
    importance.resize(inputs.n_codes);
    return importance;
}

std::optional<GptqFactor> factor_hessian(const WeightInputs& inputs, double damp, bool act_order,
                                         ThreadPool& pool, kernels::ColumnSolver* solver) {
    const int64_t n = inputs.n_cols;
    QUAROT_CHECK((solver != nullptr) == inputs.device_hessian.has_value());
    QUAROT_CHECK(inputs.device_hessian ? inputs.device_hessian->sums.n == n
                                       : std::ssize(inputs.hessian) == n * n,
                 "{} values for {} columns", inputs.hessian.size(), n);
    QUAROT_CHECK(inputs.n_codes >= 0 && inputs.n_codes <= n, "{} of {}", inputs.n_codes, n);
    const std::vector<double> gathered = diagonal_of(inputs);
    check_finite(inputs, gathered, pool);
    const double mean = mean_of_live(gathered);
    if (mean == 0.0) return std::nullopt;
    std::vector<double> diagonal = gathered;
    std::ranges::replace(diagonal, 0.0, 1.0);
    GptqFactor factor;
    factor.order = solve_order(diagonal, inputs.n_codes, act_order);
    factor.dead.assign(n, false);
    for (int64_t i = 0; i < inputs.n_codes; ++i) {
        factor.dead[i] = gathered[factor.order[i]] == 0.0;
    }
    for (int attempt = 0; attempt <= kStrongerDampings; ++attempt) {
        if (attempt > 0) damp = std::max(10.0 * damp, kSmallestStrongerDamping);
        const auto damped = damped_diagonal(diagonal, factor.order, damp * mean);
        const std::vector<double> u =
            solver == nullptr
                ? factor_on_host(inputs.hessian, damped, factor, pool)
                : factor_on_device(inputs.device_hessian->sums, damped, factor, *solver);
        if (!u.empty() && is_above_rounding(u, damped)) {
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
