// How far a model's predictions are from a base's over many positions: the statistics that
// llama-perplexity prints.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "eval/statistics.h"

namespace quarot::eval {

// Of one position.
struct PositionPair {
    double nll = 0.0, base_nll = 0.0;  // of the token that follows in the text, nats
    double kl = 0.0;                   // KL(base || model), nats
    bool same_top1 = false;            // both take the same token for the likeliest
};

struct Quantile {
    std::string_view name;
    double fraction = 0.0;
};
inline constexpr std::array kQuantiles = {
    Quantile{"maximum", 1.0}, Quantile{"p99.9", 0.999}, Quantile{"p99", 0.99},
    Quantile{"p95", 0.95},    Quantile{"p90", 0.90},    Quantile{"p75", 0.75},
    Quantile{"median", 0.5},  Quantile{"p25", 0.25},    Quantile{"p10", 0.10},
    Quantile{"p5", 0.05},     Quantile{"p1", 0.01},     Quantile{"p0.1", 0.001},
    Quantile{"minimum", 0.0}};
using Spread = std::array<double, kQuantiles.size()>;  // in the order of kQuantiles

// Values of all positions in one order. Interpolated between neighbours: quantile f of n sorted
// values stands at place f (n - 1).
Spread spread_of(std::span<const double> values);

// Errors are standard errors of a mean over positions, those of functions of means to first order.
struct Divergence {
    int64_t n_positions = 0;
    Mean kl;
    Spread kl_spread;
    Mean same_top1;  // share
    Mean delta_p;    // probability of the text's token: the model's minus the base's
    Mean rms_delta_p;
    Spread delta_p_spread;
    Mean perplexity, base_perplexity;
    Mean ln_ratio;                      // ln(perplexity / base_perplexity)
    Mean ratio;                         // perplexity / base_perplexity
    Mean difference;                    // perplexity - base_perplexity
    std::optional<double> correlation;  // of both nll; where either is constant there is none

    double kl_quantile(std::string_view name) const;  // of kQuantiles
};

// At least one position.
Divergence divergence_of(std::span<const PositionPair> pairs);

}  // namespace quarot::eval
