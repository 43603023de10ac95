#include "runtime/sampler.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/check.h"
#include "core/error.h"

namespace quarot::runtime {

namespace {

struct Candidate {
    int32_t id;
    double weight;  // logit, later probability (not normalised)
};

void require(bool holds, const char* flag, double found, const char* expected) {
    if (!holds) fail(ErrorCode::Usage, "{} is {}, expected {}", flag, found, expected);
}

std::vector<float> penalised(std::span<const float> logits, std::span<const int32_t> history,
                             float penalty) {
    std::vector<float> out(logits.begin(), logits.end());
    if (penalty == 1.0f) return out;
    std::vector<int32_t> seen(history.begin(), history.end());
    std::sort(seen.begin(), seen.end());
    seen.erase(std::unique(seen.begin(), seen.end()), seen.end());
    for (const int32_t id : seen) {
        float& logit = out[static_cast<size_t>(id)];
        logit = logit > 0.0f ? logit / penalty : logit * penalty;
    }
    return out;
}

bool better(const Candidate& a, const Candidate& b) {
    return a.weight != b.weight ? a.weight > b.weight : a.id < b.id;
}

// Keeps the shortest prefix of the sorted candidates whose probability reaches top_p.
void keep_top_p(std::vector<Candidate>& candidates, double top_p) {
    double total = 0.0;
    for (const auto& candidate : candidates) total += candidate.weight;
    double sum = 0.0;
    size_t kept = 0;
    while (kept < candidates.size() && sum < top_p * total) sum += candidates[kept++].weight;
    candidates.resize(std::max<size_t>(kept, 1));
}

}  // namespace

void check_sampling(const SamplingOptions& o) {
    require(o.temperature >= 0.0f && o.temperature <= 10.0f, "--temp", o.temperature, "0 to 10");
    require(o.top_k >= 0, "--top-k", static_cast<double>(o.top_k), "0 or more");
    require(o.top_p > 0.0f && o.top_p <= 1.0f, "--top-p", o.top_p, "above 0 and at most 1");
    require(o.min_p >= 0.0f && o.min_p <= 1.0f, "--min-p", o.min_p, "0 to 1");
    require(o.repetition_penalty > 0.0f && o.repetition_penalty <= 10.0f, "--repetition-penalty",
            o.repetition_penalty, "above 0 and at most 10");
}

int32_t sample(std::span<const float> logits, std::span<const int32_t> history,
               const SamplingOptions& options, std::mt19937_64& random) {
    QUAROT_CHECK(!logits.empty());
    const std::vector<float> scores = penalised(logits, history, options.repetition_penalty);
    if (options.temperature == 0.0f) {
        return static_cast<int32_t>(std::max_element(scores.begin(), scores.end()) -
                                    scores.begin());
    }
    std::vector<Candidate> candidates(scores.size());
    for (size_t i = 0; i < scores.size(); ++i) {
        candidates[i] = {static_cast<int32_t>(i),
                         static_cast<double>(scores[i]) / static_cast<double>(options.temperature)};
    }
    const auto n = static_cast<int64_t>(candidates.size());
    const int64_t kept = options.top_k == 0 ? n : std::min(options.top_k, n);
    std::partial_sort(candidates.begin(), candidates.begin() + kept, candidates.end(), better);
    candidates.resize(static_cast<size_t>(kept));
    const double best = candidates.front().weight;
    for (auto& candidate : candidates) candidate.weight = std::exp(candidate.weight - best);
    if (options.top_p < 1.0f) keep_top_p(candidates, static_cast<double>(options.top_p));
    std::erase_if(candidates, [&](const Candidate& c) {
        return c.weight < static_cast<double>(options.min_p);
    });

    double total = 0.0;
    for (const auto& candidate : candidates) total += candidate.weight;
    // 53 random bits as a number in [0, 1): spelled out, since the library's distributions differ.
    const double target = static_cast<double>(random() >> 11) * 0x1p-53 * total;
    double sum = 0.0;
    for (const auto& candidate : candidates) {
        sum += candidate.weight;
        if (sum > target) return candidate.id;
    }
    return candidates.back().id;
}

}  // namespace quarot::runtime
