#include "eval/compact_row.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

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

// Logarithm of the probability of all tokens but `ids`, of which there is at least one. A sum of
// its own: 1 minus theirs would lose a small one.
double log_rest(std::span<const float> logits, double log_sum, std::span<const int32_t> ids) {
    std::vector<float> others(logits.begin(), logits.end());
    for (const int32_t id : ids) {
        others[static_cast<size_t>(id)] = -std::numeric_limits<float>::infinity();
    }
    return log_sum_exp(others) - log_sum;
}

}  // namespace

CompactRow compacted(std::span<const float> logits, double log_sum) {
    CompactRow row;
    row.ids = likeliest(logits);
    const float first = logits[static_cast<size_t>(row.ids.front())];
    for (const int32_t id : row.ids) {
        // What lies below the range of F16 has no probability either.
        const float below = std::max(logits[static_cast<size_t>(id)] - first, -65504.0f);
        row.logits.push_back(f16_to_f32(f32_to_f16(below)));
    }
    if (row.ids.size() < logits.size()) {
        row.rest = static_cast<float>(std::exp(log_rest(logits, log_sum, row.ids)));
    }
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
    if (rest > 0.0) {
        divergence += rest * (std::log(rest) - log_rest(logits, log_sum, base.ids));
    }
    return divergence;
}

}  // namespace quarot::eval
