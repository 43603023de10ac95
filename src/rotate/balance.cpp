#include "rotate/balance.h"

#include <algorithm>
#include <cmath>

#include "core/check.h"

namespace quarot::rotate {

std::vector<double> balancing_scales(std::span<const double> w, std::span<const double> x,
                                     double exponent) {
    constexpr double kMost = 1e3;
    QUAROT_CHECK(w.size() == x.size(), "{} columns, {} inputs", w.size(), x.size());
    std::vector<double> logarithms(w.size());
    double sum = 0.0;
    int64_t n = 0;
    const auto counts = [&](size_t i) { return w[i] > 0.0 && x[i] > 0.0; };
    for (size_t i = 0; i < w.size(); ++i) {
        if (!counts(i)) continue;
        logarithms[i] = exponent / 4.0 * (std::log(w[i]) - std::log(x[i]));
        sum += logarithms[i];
        ++n;
    }
    std::vector<double> scales(w.size(), 1.0);
    for (size_t i = 0; i < w.size(); ++i) {
        if (!counts(i)) continue;
        const double scale = std::exp(logarithms[i] - sum / static_cast<double>(n));
        scales[i] = std::clamp(scale, 1.0 / kMost, kMost);
    }
    return scales;
}

}  // namespace quarot::rotate
