#include "eval/compact_row.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>

#include "tensor/float_convert.h"
#include "tensor/log_softmax.h"

namespace quarot::eval {

namespace {

std::vector<int32_t> likeliest(std::span<const float> logits) {
    std::vector<int32_t> ids(logits.size());
    std::iota(ids.begin(), ids.end(), 0);
    const auto n = std::min(std::ssize(logits), kCompactTokens);
    std::partial_sort(ids.begin(), ids.begin() + n, ids.end(), [&](int32_t a, int32_t b) {
        const float of_a = logits[static_cast<size_t>(a)], of_b = logits[static_cast<size_t>(b)];
        return of_a > of_b || (of_a == of_b && a < b);
    });
    ids.resize(static_cast<size_t>(n));
    return ids;
}

// Logits of all tokens but `ids`, which have -Inf.
std::vector<float> without(std::span<const int32_t> ids, std::span<const float> logits) {
    std::vector<float> others(logits.begin(), logits.end());
    for (const int32_t id : ids) {
        others[static_cast<size_t>(id)] = -std::numeric_limits<float>::infinity();
    }
    return others;
}

// others: logits, of which some are finite.
void sample(std::span<const float> others, double log_sum, uint32_t seed, CompactRow& to) {
    const double step = 1.0 / static_cast<double>(kSampledTokens);
    double next = step * (static_cast<double>(std::mt19937(seed)()) + 0.5) / 4294967296.0;
    double sum = 0.0;
    const auto take = [&](size_t id) {
        to.sampled_ids.push_back(static_cast<int32_t>(id));
        to.sampled_log_p.push_back(
            static_cast<float>(std::min(static_cast<double>(others[id]) - log_sum, 0.0)));
    };
    size_t last = 0;
    for (size_t id = 0; id < others.size(); ++id) {
        if (std::isinf(others[id])) continue;
        const double before = sum;
        sum += std::exp(static_cast<double>(others[id]) - log_sum);
        if (sum > before) last = id;
        for (; next < sum && std::ssize(to.sampled_ids) < kSampledTokens; next += step) take(id);
    }
    // Where rounding left the sum below 1.
    while (std::ssize(to.sampled_ids) < kSampledTokens) take(last);
}

// Of a sample from the rest, log_rest being the logarithm of the model's.
double within_rest(const CompactRow& base, std::span<const float> logits, double log_sum,
                   double log_rest) {
    double sum = 0.0;
    for (size_t i = 0; i < base.sampled_ids.size(); ++i) {
        const auto id = static_cast<size_t>(base.sampled_ids[i]);
        const double log_q = static_cast<double>(logits[id]) - log_sum - log_rest;
        const double log_ratio = log_q - static_cast<double>(base.sampled_log_p[i]);
        sum += std::expm1(log_ratio) - log_ratio;
    }
    return sum / static_cast<double>(base.sampled_ids.size());
}

}  // namespace

CompactRow compacted(std::span<const float> logits, double log_sum, uint32_t seed) {
    CompactRow row;
    row.ids = likeliest(logits);
    const float first = logits[static_cast<size_t>(row.ids.front())];
    for (const int32_t id : row.ids) {
        // What lies below the range of F16 has no probability either.
        const float below = std::max(logits[static_cast<size_t>(id)] - first, -65504.0f);
        row.logits.push_back(f16_to_f32(f32_to_f16(below)));
    }
    if (row.ids.size() == logits.size()) return row;
    // A sum of its own: 1 minus the others' would lose a small one.
    const std::vector<float> others = without(row.ids, logits);
    const double others_log_sum = log_sum_exp(others);
    row.rest = static_cast<float>(std::exp(others_log_sum - log_sum));
    sample(others, others_log_sum, seed, row);
    return row;
}

double compact_divergence(const CompactRow& base, std::span<const float> logits, double log_sum) {
    double sum = 0.0;
    for (const float logit : base.logits) sum += std::exp(static_cast<double>(logit));
    const double rest = base.rest;
    const double log_scale = std::log1p(-rest) - std::log(sum);
    double divergence = 0.0;
    for (size_t i = 0; i < base.ids.size(); ++i) {
        const double log_p = static_cast<double>(base.logits[i]) + log_scale;
        const double log_q =
            static_cast<double>(logits[static_cast<size_t>(base.ids[i])]) - log_sum;
        divergence += std::exp(log_p) * (log_p - log_q);
    }
    if (rest == 0.0) return divergence;
    const double log_rest = log_sum_exp(without(base.ids, logits)) - log_sum;
    return divergence +
           rest * (std::log(rest) - log_rest + within_rest(base, logits, log_sum, log_rest));
}

}  // namespace quarot::eval
