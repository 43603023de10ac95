#include "eval/divergence.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/check.h"

namespace quarot::eval {

namespace {

template <typename Value>
std::vector<double> values_of(std::span<const PositionPair> pairs, const Value& value) {
    std::vector<double> values(pairs.size());
    std::transform(pairs.begin(), pairs.end(), values.begin(), value);
    return values;
}

// Pearson's.
std::optional<double> correlation_of(std::span<const PositionPair> pairs, double mean,
                                     double base_mean) {
    double xx = 0.0, yy = 0.0, xy = 0.0;
    for (const PositionPair& pair : pairs) {
        const double x = pair.nll - mean, y = pair.base_nll - base_mean;
        xx += x * x;
        yy += y * y;
        xy += x * y;
    }
    if (xx == 0.0 || yy == 0.0) return std::nullopt;
    return xy / std::sqrt(xx * yy);
}

void add_perplexities(std::span<const PositionPair> pairs, Divergence& result) {
    const Mean nll = mean_of(values_of(pairs, [](const auto& pair) { return pair.nll; }));
    const Mean base_nll = mean_of(values_of(pairs, [](const auto& pair) { return pair.base_nll; }));
    result.perplexity = exp_of(nll);
    result.base_perplexity = exp_of(base_nll);
    result.ln_ratio =
        mean_of(values_of(pairs, [](const auto& pair) { return pair.nll - pair.base_nll; }));
    result.ratio = exp_of(result.ln_ratio);
    // To first order the difference moves with each position's share in both.
    const double p = result.perplexity.value, base_p = result.base_perplexity.value;
    result.difference = mean_of(
        values_of(pairs, [&](const auto& pair) { return p * pair.nll - base_p * pair.base_nll; }));
    result.difference.value = p - base_p;
    result.correlation = correlation_of(pairs, nll.value, base_nll.value);
}

}  // namespace

Spread spread_of(std::span<const double> values) {
    QUAROT_CHECK(!values.empty());
    std::vector<double> sorted(values.begin(), values.end());
    std::sort(sorted.begin(), sorted.end());
    Spread spread{};
    for (size_t i = 0; i < spread.size(); ++i) {
        const double place = kQuantiles[i].fraction * static_cast<double>(sorted.size() - 1);
        const auto below = static_cast<size_t>(place);
        const size_t above = std::min(below + 1, sorted.size() - 1);
        const double part = place - static_cast<double>(below);
        spread[i] = (1.0 - part) * sorted[below] + part * sorted[above];
    }
    return spread;
}

double Divergence::kl_quantile(std::string_view name) const {
    const auto found = std::find_if(kQuantiles.begin(), kQuantiles.end(),
                                    [&](const Quantile& q) { return q.name == name; });
    QUAROT_CHECK(found != kQuantiles.end(), "{}", name);
    return kl_spread[static_cast<size_t>(found - kQuantiles.begin())];
}

Divergence divergence_of(std::span<const PositionPair> pairs) {
    QUAROT_CHECK(!pairs.empty());
    Divergence result;
    result.n_positions = std::ssize(pairs);
    const auto kl = values_of(pairs, [](const auto& pair) { return pair.kl; });
    result.kl = mean_of(kl);
    result.kl_spread = spread_of(kl);
    result.same_top1 =
        mean_of(values_of(pairs, [](const auto& pair) { return pair.same_top1 ? 1.0 : 0.0; }));
    auto delta_p = values_of(
        pairs, [](const auto& pair) { return std::exp(-pair.nll) - std::exp(-pair.base_nll); });
    result.delta_p = mean_of(delta_p);
    result.delta_p_spread = spread_of(delta_p);
    for (double& value : delta_p) value *= value;
    result.rms_delta_p = square_root_of(mean_of(delta_p));
    add_perplexities(pairs, result);
    return result;
}

}  // namespace quarot::eval
