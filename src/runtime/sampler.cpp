#include "runtime/sampler.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <string>

#include "core/check.h"
#include "core/error.h"
#include "core/setting.h"
#include "model/limits.h"
#include "runtime/portable_exp.h"

namespace quarot::runtime {

namespace {

void require(bool holds, Setting setting, double found, const std::string& expected) {
    if (!holds) fail(ErrorCode::Usage, "{} is {}, expected {}", setting, found, expected);
}

void check_logits(std::span<const float> logits) {
    bool any = false;
    for (size_t id = 0; id < logits.size(); ++id) {
        const float logit = logits[id];
        if (std::isnan(logit) || logit == std::numeric_limits<float>::infinity()) {
            fail(ErrorCode::Numeric, "the logit of token {} is {}, expected a finite number", id,
                 logit);
        }
        any = any || std::isfinite(logit);
    }
    if (!any) {
        fail(ErrorCode::Numeric, "the logits of all {} tokens are -inf, expected one that can come",
             logits.size());
    }
}

// A token on its way through the pipeline. Lists of them are in the order of ids between two
// steps, so that no sum depends on how a library sorts.
struct Item {
    int32_t id;
    double score;   // logit after the penalty
    double weight;  // probability times a constant: the best one's is 1
};

bool is_likelier(const Item& a, const Item& b) {
    return a.score != b.score ? a.score > b.score : a.id < b.id;
}

void sort_by_id(std::vector<Item>& items) {
    std::sort(items.begin(), items.end(), [](const Item& a, const Item& b) { return a.id < b.id; });
}

double total(const std::vector<Item>& items) {
    double sum = 0.0;
    for (const Item& item : items) sum += item.weight;
    return sum;
}

std::vector<Item> items_of(std::span<const float> logits) {
    std::vector<Item> items(logits.size());
    for (size_t i = 0; i < items.size(); ++i) {
        items[i] = {static_cast<int32_t>(i), static_cast<double>(logits[i]), 0.0};
    }
    return items;
}

// items: one for each id.
void penalise(std::vector<Item>& items, std::span<const int32_t> history, double penalty) {
    if (penalty == 1.0) return;
    std::vector<bool> done(items.size());
    for (const int32_t id : history) {
        QUAROT_CHECK(id >= 0 && static_cast<size_t>(id) < items.size(), "token {}", id);
        const auto at = static_cast<size_t>(id);
        if (done[at]) continue;
        done[at] = true;
        double& score = items[at].score;
        score = score > 0.0 ? score / penalty : score * penalty;
    }
}

void drop_impossible(std::vector<Item>& items) {
    std::erase_if(items, [](const Item& item) { return std::isinf(item.score); });
}

void keep_top_k(std::vector<Item>& items, int64_t k) {
    if (k == 0 || k >= std::ssize(items)) return;
    const auto end = items.begin() + k;
    std::nth_element(items.begin(), end - 1, items.end(), is_likelier);
    items.erase(end, items.end());
    sort_by_id(items);
}

void weigh(std::vector<Item>& items, const Item& best, double temperature) {
    for (Item& item : items) {
        item.weight = portable_exp((item.score - best.score) / temperature);
    }
}

// The fewest likeliest whose share reaches p. Only as many are sorted as are likely to be needed:
// few tokens hold nearly all of a distribution.
void keep_top_p(std::vector<Item>& items, double p) {
    if (p >= 1.0) return;
    const double wanted = p * total(items);
    double sum = 0.0;
    size_t kept = 0;
    for (size_t n_sorted = 0; kept < items.size() && (kept == 0 || sum < wanted);) {
        if (kept == n_sorted) {
            n_sorted = std::min(items.size(), std::max<size_t>(256, 4 * n_sorted));
            const auto first = items.begin() + static_cast<std::ptrdiff_t>(kept);
            const auto last = items.begin() + static_cast<std::ptrdiff_t>(n_sorted);
            std::nth_element(first, last - 1, items.end(), is_likelier);
            std::sort(first, last, is_likelier);
        }
        sum += items[kept++].weight;
    }
    items.resize(kept);
    sort_by_id(items);
}

void keep_min_p(std::vector<Item>& items, double p) {
    std::erase_if(items, [&](const Item& item) { return item.weight < p; });
}

std::vector<Candidate> normalised(const std::vector<Item>& items) {
    const double sum = total(items);
    std::vector<Candidate> result;
    for (const Item& item : items) result.push_back({item.id, item.weight / sum});
    return result;
}

// 53 random bits as a number in [0, 1): spelled out, since libraries' distributions differ.
double uniform(std::mt19937_64& random) {
    return static_cast<double>(random() >> 11) * 0x1p-53;
}

int32_t draw(const std::vector<Candidate>& candidates, double target) {
    double sum = 0.0;
    for (const Candidate& candidate : candidates) {
        sum += candidate.probability;
        if (sum > target) return candidate.id;
    }
    // Rounding left the sum a little below 1.
    return std::max_element(
               candidates.begin(), candidates.end(),
               [](const Candidate& a, const Candidate& b) { return a.probability < b.probability; })
        ->id;
}

}  // namespace

void check_sampling(const SamplingOptions& o) {
    constexpr float kHottest = limits::kMaxTemperature;
    constexpr float kMostPenalty = limits::kMaxRepetitionPenalty;
    require(o.temperature >= 0.0f && o.temperature <= kHottest, Setting{"temperature"},
            o.temperature, fmt::format("0 to {}", kHottest));
    require(o.top_k >= 0, Setting{"top_k"}, static_cast<double>(o.top_k), "0 or more");
    require(o.top_p >= 0.0f && o.top_p <= 1.0f, Setting{"top_p"}, o.top_p, "0 to 1");
    require(o.min_p >= 0.0f && o.min_p <= 1.0f, Setting{"min_p"}, o.min_p, "0 to 1");
    require(o.repetition_penalty > 0.0f && o.repetition_penalty <= kMostPenalty,
            Setting{"repetition_penalty"}, o.repetition_penalty,
            fmt::format("above 0 and at most {}", kMostPenalty));
}

std::vector<Candidate> candidates(std::span<const float> logits, std::span<const int32_t> history,
                                  const SamplingOptions& options) {
    check_logits(logits);
    std::vector<Item> items = items_of(logits);
    penalise(items, history, static_cast<double>(options.repetition_penalty));
    const Item best = *std::min_element(items.begin(), items.end(), is_likelier);
    if (options.temperature == 0.0f) return {{best.id, 1.0}};
    drop_impossible(items);
    keep_top_k(items, options.top_k);
    weigh(items, best, static_cast<double>(options.temperature));
    keep_top_p(items, static_cast<double>(options.top_p));
    keep_min_p(items, static_cast<double>(options.min_p));
    return normalised(items);
}

int32_t sample(std::span<const float> logits, std::span<const int32_t> history,
               const SamplingOptions& options, std::mt19937_64& random) {
    const std::vector<Candidate> kept = candidates(logits, history, options);
    return options.temperature == 0.0f ? kept.front().id : draw(kept, uniform(random));
}

}  // namespace quarot::runtime
