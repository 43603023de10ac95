#include "apps/perplexity_report.h"

#include <fmt/format.h>

#include "apps/report.h"

namespace quarot::apps {

namespace {

using eval::Divergence;
using eval::kQuantiles;
using eval::Mean;
using eval::Spread;

io::Json spread_to_json(const Spread& spread) {
    io::Json json = io::Json::Object{};
    for (size_t i = 0; i < spread.size(); ++i) {
        json.set(std::string(kQuantiles[i].name), spread[i]);
    }
    return json;
}

Mean percent(Mean mean) {
    mean.value *= 100.0;
    if (mean.standard_error) *mean.standard_error *= 100.0;
    return mean;
}

std::string percent_with_error(const Mean& mean) {
    return with_error(percent(mean), 3) + " %";
}

// Percentiles of both, side by side.
std::string spread_table(const Divergence& divergence) {
    std::vector<std::vector<std::string>> rows = {{"over positions", "KL, nats", "delta p, %"}};
    for (size_t i = 0; i < kQuantiles.size(); ++i) {
        rows.push_back({std::string(kQuantiles[i].name),
                        fmt::format("{:.6f}", divergence.kl_spread[i]),
                        fmt::format("{:.3f}", 100.0 * divergence.delta_p_spread[i])});
    }
    return format_table(rows);
}

}  // namespace

std::string with_error(const Mean& mean, int digits) {
    const std::string value = fmt::format("{:.{}f}", mean.value, digits);
    return mean.standard_error ? fmt::format("{} +- {:.{}f}", value, *mean.standard_error, digits)
                               : value;
}

void set_mean(io::Json& json, const std::string& name, const Mean& mean) {
    json.set(name, mean.value);
    json.set(name + "_stderr", mean.standard_error ? io::Json(*mean.standard_error) : io::Json());
}

io::Json divergence_to_json(const Divergence& divergence) {
    io::Json json = io::Json::Object{{"positions", divergence.n_positions}};
    set_mean(json, "kl", divergence.kl);
    json.set("kl_spread", spread_to_json(divergence.kl_spread));
    set_mean(json, "same_top1", divergence.same_top1);
    set_mean(json, "delta_p", divergence.delta_p);
    set_mean(json, "rms_delta_p", divergence.rms_delta_p);
    json.set("delta_p_spread", spread_to_json(divergence.delta_p_spread));
    set_mean(json, "perplexity", divergence.perplexity);
    set_mean(json, "base_perplexity", divergence.base_perplexity);
    set_mean(json, "perplexity_ratio", divergence.ratio);
    set_mean(json, "ln_perplexity_ratio", divergence.ln_ratio);
    set_mean(json, "perplexity_difference", divergence.difference);
    json.set("ln_perplexity_correlation",
             divergence.correlation ? io::Json(*divergence.correlation) : io::Json());
    return json;
}

std::string divergence_table(const Divergence& divergence) {
    Pairs pairs = {{"base perplexity", with_error(divergence.base_perplexity)},
                   {"ratio", with_error(divergence.ratio)},
                   {"ln of the ratio", with_error(divergence.ln_ratio, 5)}};
    if (divergence.correlation) {
        pairs.push_back({"correlation", fmt::format("{:.2f} %", 100.0 * *divergence.correlation)});
    }
    pairs.push_back({"KL mean", with_error(divergence.kl, 5) + " nats"});
    pairs.push_back({"same top 1", percent_with_error(divergence.same_top1)});
    pairs.push_back({"delta p mean", percent_with_error(divergence.delta_p)});
    pairs.push_back({"delta p RMS", percent_with_error(divergence.rms_delta_p)});
    return format_pairs(pairs) + "\n" + spread_table(divergence);
}

}  // namespace quarot::apps
