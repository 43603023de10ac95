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
