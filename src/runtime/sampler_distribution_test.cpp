// How often does each token come? The sampler's draws against probabilities computed here in
// another way: from the definitions of Hugging Face's logits processors, in long double.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <ostream>
#include <string>
#include <vector>

#include "runtime/sampler.h"

namespace quarot::runtime {
namespace {

using Scores = std::vector<long double>;
constexpr long double kNever = -std::numeric_limits<long double>::infinity();

Scores softmax(const Scores& scores) {
    const long double best = *std::max_element(scores.begin(), scores.end());
    Scores out;
    for (const long double score : scores) out.push_back(std::exp(score - best));
    const long double sum = std::accumulate(out.begin(), out.end(), 0.0L);
    for (long double& p : out) p /= sum;
    return out;
}

// Ids by score, the smallest first; of equal ones the higher id first, since ties go to the lower.
std::vector<size_t> ascending(const Scores& scores) {
    std::vector<size_t> order(scores.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
        return scores[a] != scores[b] ? scores[a] < scores[b] : a > b;
    });
    return order;
}

void remove_below_top_k(Scores& scores, int64_t k) {
    const std::vector<size_t> order = ascending(scores);
    for (size_t i = 0; k > 0 && static_cast<int64_t>(i) + k < std::ssize(order); ++i) {
        scores[order[i]] = kNever;
    }
}

// As TopPLogitsWarper: from the least likely on, remove while what is removed is at most 1 - p.
void remove_below_top_p(Scores& scores, long double p) {
    if (p >= 1.0L) return;
    const Scores probabilities = softmax(scores);
    const std::vector<size_t> order = ascending(scores);
    long double removed = 0.0L;
    for (size_t i = 0; i + 1 < order.size(); ++i) {
        removed += probabilities[order[i]];
        if (removed > 1.0L - p) break;
        scores[order[i]] = kNever;
    }
}

void remove_below_min_p(Scores& scores, long double p) {
    const Scores probabilities = softmax(scores);
    const long double best = *std::max_element(probabilities.begin(), probabilities.end());
    for (size_t i = 0; i < scores.size(); ++i) {
        if (probabilities[i] < p * best) scores[i] = kNever;
    }
}

Scores expected_probabilities(const std::vector<float>& logits, const std::vector<int32_t>& history,
                              const SamplingOptions& options) {
    Scores scores(logits.begin(), logits.end());
    for (size_t id = 0; id < scores.size(); ++id) {
        if (std::count(history.begin(), history.end(), static_cast<int32_t>(id)) == 0) continue;
        const auto penalty = static_cast<long double>(options.repetition_penalty);
        scores[id] = scores[id] < 0 ? scores[id] * penalty : scores[id] / penalty;
    }
    for (long double& score : scores) score /= static_cast<long double>(options.temperature);
    remove_below_top_k(scores, options.top_k);
    remove_below_top_p(scores, static_cast<long double>(options.top_p));
    remove_below_min_p(scores, static_cast<long double>(options.min_p));
    return softmax(scores);
}

// Draws of one seed against the expected counts.
struct ChiSquare {
    double statistic = 0.0;
    int cells = 0;
    int impossible = 0;  // draws of tokens that cannot come

    // What a sum of cells - 1 squared normal numbers exceeds once in 10^6 times, by Wilson and
    // Hilferty's approximation. Seeds are fixed, so a sampler that passes keeps passing; a
    // probability that is wrong by 4 per cent of itself in a cell of 0.1 adds 8 to the statistic
    // of 50,000 draws.
    double limit() const {
        const double df = std::max(cells - 1, 1);
        const double spread = 2.0 / (9.0 * df);
        return df * std::pow(1.0 - spread + 4.7534 * std::sqrt(spread), 3.0);
    }
};

constexpr int kDraws = 50000;

ChiSquare compare(const std::vector<float>& logits, const std::vector<int32_t>& history,
                  const SamplingOptions& options, const Scores& probabilities, uint64_t seed) {
    std::mt19937_64 random(seed);
    std::vector<int> counts(logits.size(), 0);
    for (int i = 0; i < kDraws; ++i) {
        ++counts[static_cast<size_t>(sample(logits, history, options, random))];
    }
    ChiSquare result;
    double rare_expected = 0.0, rare_found = 0.0;  // cells expected less than 10 times, as one
    const auto add = [&](double expected, double found) {
        result.statistic += (found - expected) * (found - expected) / expected;
        ++result.cells;
    };
    for (size_t id = 0; id < counts.size(); ++id) {
        const auto expected = static_cast<double>(probabilities[id]) * kDraws;
        if (expected == 0.0) {
            result.impossible += counts[id];
        } else if (expected < 10.0) {
            rare_expected += expected;
            rare_found += counts[id];
        } else {
            add(expected, counts[id]);
        }
    }
    if (rare_expected >= 10.0) add(rare_expected, rare_found);
    return result;
}

// 40 logits with ties, negative ones, far ones and one that cannot come.
std::vector<float> wide_logits() {
    std::vector<float> logits;
    for (int i = 0; i < 40; ++i) logits.push_back(3.0f * std::sin(static_cast<float>(i * i)));
    logits[7] = logits[3];
    logits[11] = -std::numeric_limits<float>::infinity();
    logits[12] = -40.0f;
    return logits;
}

struct Case {
    const char* name;
    SamplingOptions options;
    std::vector<int32_t> history = {};
};

void PrintTo(const Case& value, std::ostream* out) {
    *out << value.name;
}

const std::vector<Case> kCases = {
    {"Plain", {.temperature = 1.0f}},
    {"Cold", {.temperature = 0.3f}},
    {"Hot", {.temperature = 10.0f}},
    {"TopK", {.temperature = 1.0f, .top_k = 5}},
    {"TopKOfAll", {.temperature = 1.0f, .top_k = 40}},
    {"TopKBeyondTheVocabulary", {.temperature = 1.0f, .top_k = int64_t{1} << 62}},
    {"TopP", {.temperature = 1.0f, .top_p = 0.8f}},
    {"TopPNearlyAll", {.temperature = 2.0f, .top_p = 0.999f}},
    {"MinP", {.temperature = 1.5f, .min_p = 0.2f}},
    {"Penalty", {.temperature = 1.0f, .repetition_penalty = 1.5f}, {2, 5, 5, 5, 30, 39}},
    {"PenaltyThatRewards", {.temperature = 1.0f, .repetition_penalty = 0.5f}, {2, 5, 30}},
    {"TopKThenTopP", {.temperature = 0.8f, .top_k = 10, .top_p = 0.7f}},
    {"TopPThenMinP", {.temperature = 1.2f, .top_p = 0.95f, .min_p = 0.3f}},
    {"Everything",
     {.temperature = 0.7f, .top_k = 20, .top_p = 0.9f, .min_p = 0.05f, .repetition_penalty = 1.3f},
     {0, 1, 2, 3, 3, 3}},
};

class SamplerDistribution : public testing::TestWithParam<Case> {};

TEST_P(SamplerDistribution, DrawsAreWhatTheDefinitionsSay) {
    const auto& [name, options, history] = GetParam();
    const std::vector<float> logits = wide_logits();
    const Scores probabilities = expected_probabilities(logits, history, options);
    const ChiSquare found = compare(logits, history, options, probabilities, 20);
    EXPECT_EQ(found.impossible, 0);
    EXPECT_LT(found.statistic, found.limit()) << found.cells << " cells";
}

TEST_P(SamplerDistribution, CandidatesAreWhatTheDefinitionsSay) {
    const auto& [name, options, history] = GetParam();
    const std::vector<float> logits = wide_logits();
    const Scores expected = expected_probabilities(logits, history, options);
    Scores found(logits.size(), 0.0L);
    for (const Candidate& candidate : candidates(logits, history, options)) {
        found[static_cast<size_t>(candidate.id)] = candidate.probability;
    }
    // A few roundings of double: 40 terms of at most 1 are summed.
    for (size_t id = 0; id < found.size(); ++id) {
        EXPECT_NEAR(static_cast<double>(found[id]), static_cast<double>(expected[id]), 1e-14) << id;
    }
}

INSTANTIATE_TEST_SUITE_P(Cases, SamplerDistribution, testing::ValuesIn(kCases),
                         [](const auto& test) { return std::string(test.param.name); });

TEST(SamplerDistribution, WouldSeeAnotherDistribution) {
    const std::vector<float> logits = wide_logits();
    const SamplingOptions drawn = {.temperature = 1.0f};
    for (const SamplingOptions& other : {SamplingOptions{.temperature = 1.05f},
                                         SamplingOptions{.temperature = 1.0f, .min_p = 0.01f},
                                         SamplingOptions{.temperature = 1.0f, .top_p = 0.99f}}) {
        const ChiSquare found =
            compare(logits, {}, drawn, expected_probabilities(logits, {}, other), 20);
        EXPECT_TRUE(found.impossible > 0 || found.statistic > found.limit());
    }
    // Temperature before the penalty would be the same, but min-p before temperature is not.
    const SamplingOptions both = {.temperature = 3.0f, .min_p = 0.3f};
    const SamplingOptions early = {.temperature = 1.0f, .min_p = 0.3f};
    EXPECT_NE(candidates(logits, {}, both).size(), candidates(logits, {}, early).size());
}

TEST(SamplerDistribution, LargeVocabulariesAreCutWhereSmallOnesAre) {
    std::vector<float> logits;  // top-p has to sort more than its first piece
    for (int i = 0; i < 20000; ++i) logits.push_back(std::cos(static_cast<float>(i)));
    for (const float p : {1e-9f, 0.01f, 0.5f, 0.99f}) {
        const SamplingOptions options = {.temperature = 1.0f, .top_p = p};
        const Scores expected = expected_probabilities(logits, {}, options);
        const auto wanted = std::count_if(expected.begin(), expected.end(),
                                          [](long double share) { return share > 0.0L; });
        EXPECT_EQ(std::ssize(candidates(logits, {}, options)), wanted) << p;
    }
}

}  // namespace
}  // namespace quarot::runtime
