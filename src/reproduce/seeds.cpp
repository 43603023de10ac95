#include "reproduce/seeds.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/check.h"

namespace quarot::reproduce {

namespace {

// Of the first seed that has one, named where there are several; empty if none has.
template <typename ReasonOf>
std::string first_reason(std::span<const SeedResult> seeds, const ReasonOf& reason_of) {
    for (const SeedResult& result : seeds) {
        const std::string& reason = reason_of(result);
        if (reason.empty()) continue;
        return seeds.size() == 1 ? reason : fmt::format("seed {}: {}", result.seed, reason);
    }
    return "";
}

void add(std::optional<double>& sum, const std::optional<double>& value) {
    sum = sum && value ? std::optional(*sum + *value) : std::nullopt;
}

std::optional<double> over(const std::optional<double>& sum, size_t n) {
    return sum ? std::optional(*sum / static_cast<double>(n)) : std::nullopt;
}

void add(Measurement& sum, const Measurement& next) {
    add(sum.perplexity, next.perplexity);
    const size_t n_windows = std::min(sum.window_nll.size(), next.window_nll.size());
    sum.window_nll.resize(n_windows);
    for (size_t i = 0; i < n_windows; ++i) sum.window_nll[i] += next.window_nll[i];
    add(sum.kl, next.kl);
    add(sum.same_top1, next.same_top1);
    sum.bits_per_weight += next.bits_per_weight;
    sum.bits_per_activation += next.bits_per_activation;
    sum.bits_per_kv += next.bits_per_kv;
    sum.tokens_per_second += next.tokens_per_second;
    sum.quantize_seconds += next.quantize_seconds;
    sum.perplexity_seconds += next.perplexity_seconds;
    if (!next.peak_rss_bytes) {
        sum.peak_rss_bytes = std::nullopt;
    } else if (sum.peak_rss_bytes) {
        sum.peak_rss_bytes = std::max(*sum.peak_rss_bytes, *next.peak_rss_bytes);
    }
}

std::optional<double> deviation(const std::vector<std::optional<double>>& values) {
    if (values.size() < 2) return std::nullopt;
    const auto n = static_cast<double>(values.size());
    std::vector<double> known;
    double mean = 0.0, squares = 0.0;
    for (const std::optional<double>& value : values) {
        if (!value) return std::nullopt;
        known.push_back(*value);
        mean += *value / n;
    }
    for (const double value : known) squares += (value - mean) * (value - mean);
    return std::sqrt(squares / (n - 1.0));
}

}  // namespace

Measurement together(std::span<const SeedResult> seeds) {
    QUAROT_CHECK(!seeds.empty());
    Measurement sum = seeds.front().text;
    for (const SeedResult& result : seeds.subspan(1)) add(sum, result.text);
    const size_t n = seeds.size();
    sum.perplexity = over(sum.perplexity, n);
    sum.kl = over(sum.kl, n);
    sum.same_top1 = over(sum.same_top1, n);
    for (double& nll : sum.window_nll) nll /= static_cast<double>(n);
    for (double* mean : {&sum.bits_per_weight, &sum.bits_per_activation, &sum.bits_per_kv,
                         &sum.tokens_per_second}) {
        *mean /= static_cast<double>(n);
    }
    sum.reason = first_reason(
        seeds, [](const SeedResult& result) -> const std::string& { return result.text.reason; });
    return sum;
}

std::vector<TaskScore> tasks_together(std::span<const SeedResult> seeds) {
    QUAROT_CHECK(!seeds.empty());
    std::vector<TaskScore> sums = seeds.front().tasks;
    for (const SeedResult& result : seeds.subspan(1)) {
        QUAROT_CHECK(result.tasks.size() == sums.size());
        for (size_t i = 0; i < sums.size(); ++i) {
            add(sums[i].percent, result.tasks[i].percent);
            add(sums[i].percent_error, result.tasks[i].percent_error);
            sums[i].seconds += result.tasks[i].seconds;
        }
    }
    for (size_t i = 0; i < sums.size(); ++i) {
        sums[i].percent = over(sums[i].percent, seeds.size());
        sums[i].percent_error = over(sums[i].percent_error, seeds.size());
        sums[i].reason = first_reason(seeds, [i](const SeedResult& result) -> const std::string& {
            return result.tasks[i].reason;
        });
    }
    return sums;
}

std::optional<double> perplexity_deviation(std::span<const SeedResult> seeds) {
    std::vector<std::optional<double>> values;
    for (const SeedResult& result : seeds) values.push_back(result.text.perplexity);
    return deviation(values);
}

std::optional<double> average_deviation(std::span<const SeedResult> seeds) {
    std::vector<std::optional<double>> values;
    for (const SeedResult& result : seeds) values.push_back(average_percent(result.tasks));
    return deviation(values);
}

}  // namespace quarot::reproduce
