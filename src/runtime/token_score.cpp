#include "runtime/token_score.h"

#include <algorithm>
#include <cmath>

#include "core/check.h"
#include "core/error.h"
#include "tensor/log_softmax.h"

namespace quarot::runtime {

TokenScore score_token(std::span<const float> logits, int32_t id, int64_t n_top) {
    QUAROT_CHECK(id >= 0 && id < std::ssize(logits) && n_top >= 0, "{} {}", id, n_top);
    const double log_sum = log_sum_exp(logits);
    if (std::isnan(log_sum)) {
        fail(ErrorCode::Numeric, "a logit is NaN, expected numbers alone");
    }
    const auto logit = [&](int32_t of) { return logits[static_cast<size_t>(of)]; };
    const auto is_likelier = [&](int32_t a, int32_t b) {
        return logit(a) != logit(b) ? logit(a) > logit(b) : a < b;
    };
    // A heap of the best so far, the least of them on top.
    std::vector<int32_t> best;
    const auto n = static_cast<size_t>(std::min(n_top, std::ssize(logits)));
    for (int32_t other = 0; n > 0 && other < std::ssize(logits); ++other) {
        if (best.size() == n) {
            if (!is_likelier(other, best.front())) continue;
            std::ranges::pop_heap(best, is_likelier);
            best.pop_back();
        }
        best.push_back(other);
        std::ranges::push_heap(best, is_likelier);
    }
    std::ranges::sort(best, is_likelier);
    const auto scored = [&](int32_t of) {
        return ScoredToken{of, static_cast<double>(logit(of)) - log_sum};
    };
    TokenScore score = {.token = scored(id)};
    for (const int32_t other : best) score.top.push_back(scored(other));
    return score;
}

}  // namespace quarot::runtime
