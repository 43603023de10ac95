#include "eval/statistics.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/check.h"

namespace quarot::eval {

Mean mean_of(std::span<const double> values) {
    QUAROT_CHECK(!values.empty());
    const auto n = static_cast<double>(values.size());
    Mean mean = {.value = std::accumulate(values.begin(), values.end(), 0.0) / n,
                 .standard_error = std::nullopt};
    if (values.size() < 2) return mean;
    double squares = 0.0;
    for (const double value : values) squares += (value - mean.value) * (value - mean.value);
    mean.standard_error = std::sqrt(squares / (n - 1.0) / n);
    return mean;
}

Mean ratio_of(std::span<const double> values, std::span<const double> weights) {
    QUAROT_CHECK(values.size() == weights.size() && !values.empty());
    const double weight = std::accumulate(weights.begin(), weights.end(), 0.0);
    QUAROT_CHECK(weight > 0.0);
    Mean ratio = {.value = std::accumulate(values.begin(), values.end(), 0.0) / weight,
                  .standard_error = std::nullopt};
    if (values.size() < 2) return ratio;
    double squares = 0.0;
    for (size_t i = 0; i < values.size(); ++i) {
        const double rest = values[i] - ratio.value * weights[i];
        squares += rest * rest;
    }
    const auto n = static_cast<double>(values.size());
    ratio.standard_error = std::sqrt(n / (n - 1.0) * squares) / weight;
    return ratio;
}

Mean exp_of(const Mean& mean) {
    Mean result = {.value = std::exp(mean.value), .standard_error = mean.standard_error};
    if (result.standard_error) *result.standard_error *= result.value;
    return result;
}

Mean square_root_of(const Mean& mean) {
    Mean result = {.value = std::sqrt(mean.value), .standard_error = std::nullopt};
    if (mean.standard_error && result.value > 0.0) {
        result.standard_error = 0.5 / result.value * *mean.standard_error;
    }
    return result;
}

double mcnemar(int64_t a, int64_t b) {
    const auto n = static_cast<double>(a + b);
    double tail = 0.0;
    for (int64_t i = 0; i <= std::min(a, b); ++i) {
        const auto k = static_cast<double>(i);
        tail += std::exp(std::lgamma(n + 1.0) - std::lgamma(k + 1.0) - std::lgamma(n - k + 1.0) -
                         n * std::log(2.0));
    }
    return std::min(1.0, 2.0 * tail);
}

}  // namespace quarot::eval
