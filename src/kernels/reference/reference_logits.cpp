#include "kernels/reference/reference_logits.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <span>
#include <vector>

#include "core/check.h"

namespace quarot::kernels {

namespace {

std::span<const float> row_of(const Rows& rows, int64_t row) {
    return {rows.f32(row), static_cast<size_t>(rows.cols)};
}

double log_sum_exp(std::span<const float> logits) {
    const double max = *std::max_element(logits.begin(), logits.end());
    double sum = 0.0;
    for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - max);
    return max + std::log(sum);
}

double kl_divergence(std::span<const float> p, std::span<const float> q) {
    const double p_log_sum = log_sum_exp(p), q_log_sum = log_sum_exp(q);
    double sum = 0.0;
    for (size_t i = 0; i < p.size(); ++i) {
        const double log_p = static_cast<double>(p[i]) - p_log_sum;
        const double log_q = static_cast<double>(q[i]) - q_log_sum;
        sum += std::exp(log_p) * (log_p - log_q);
    }
    return sum;
}

}  // namespace

void reference_log_probabilities(ThreadPool& pool, const LogProbabilityArgs& args) {
    pool.parallel_for(args.logits.rows, [&](int64_t row, int) {
        const int64_t target = args.targets[row];
        QUAROT_CHECK(target < args.logits.cols, "target {}", target);
        const std::span<const float> logits = row_of(args.logits, row);
        args.out[row] =
            target < 0 ? 0.0 : logits[static_cast<size_t>(target)] - log_sum_exp(logits);
    });
}

void reference_top_k(ThreadPool& pool, const TopKArgs& args) {
    QUAROT_CHECK(args.k >= 1 && args.k <= args.logits.cols, "k {}", args.k);
    pool.parallel_for(args.logits.rows, [&](int64_t row, int) {
        const std::span<const float> logits = row_of(args.logits, row);
        std::vector<int32_t> ids(logits.size());
        std::iota(ids.begin(), ids.end(), 0);
        std::sort(ids.begin(), ids.end(), [&](int32_t a, int32_t b) {
            const float x = logits[static_cast<size_t>(a)], y = logits[static_cast<size_t>(b)];
            if (std::isnan(x) != std::isnan(y)) return std::isnan(y);
            return x > y || (!(y > x) && a < b);
        });
        for (int64_t i = 0; i < args.k; ++i) {
            args.ids[row * args.k + i] = ids[static_cast<size_t>(i)];
            args.values[row * args.k + i] =
                logits[static_cast<size_t>(ids[static_cast<size_t>(i)])];
        }
    });
}

void reference_divergence(ThreadPool& pool, const DivergenceArgs& args) {
    QUAROT_CHECK(args.base.rows == args.model.rows && args.base.cols == args.model.cols);
    pool.parallel_for(args.base.rows, [&](int64_t row, int) {
        args.out[row] = kl_divergence(row_of(args.base, row), row_of(args.model, row));
    });
}

}  // namespace quarot::kernels
