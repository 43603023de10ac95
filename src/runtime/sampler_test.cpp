#include "runtime/sampler.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <vector>

#include "core/error.h"

namespace quarot::runtime {

namespace {

// How often each token comes up in n draws.
std::vector<double> frequencies(const std::vector<float>& logits, const SamplingOptions& options,
                                int n) {
    std::mt19937_64 random(1);
    std::vector<double> counts(logits.size(), 0.0);
    for (int i = 0; i < n; ++i) {
        counts[static_cast<size_t>(sample(logits, {}, options, random))] += 1.0 / n;
    }
    return counts;
}

const std::vector<float> kLogits = {std::log(0.5f), std::log(0.3f), std::log(0.15f),
                                    std::log(0.05f)};

}  // namespace

TEST(Sampler, GreedyTakesTheLowestIdAmongTheBest) {
    std::mt19937_64 random(1);
    const std::vector<float> logits = {0.0f, 2.0f, 2.0f, 1.0f};
    EXPECT_EQ(sample(logits, {}, {}, random), 1);
}

TEST(Sampler, TemperatureOneGivesTheModelsDistribution) {
    const auto counts = frequencies(kLogits, {.temperature = 1.0f}, 200000);
    const std::array<double, 4> expected = {0.5, 0.3, 0.15, 0.05};
    for (size_t i = 0; i < 4; ++i) EXPECT_NEAR(counts[i], expected[i], 0.005);
}

TEST(Sampler, LowTemperatureSharpens) {
    const auto counts = frequencies(kLogits, {.temperature = 0.5f}, 200000);
    const double total = 0.25 + 0.09 + 0.0225 + 0.0025;
    EXPECT_NEAR(counts[0], 0.25 / total, 0.005);
    EXPECT_NEAR(counts[2], 0.0225 / total, 0.005);
}

TEST(Sampler, TopKKeepsKTokens) {
    const auto counts = frequencies(kLogits, {.temperature = 1.0f, .top_k = 2}, 100000);
    EXPECT_NEAR(counts[0], 0.625, 0.01);
    EXPECT_EQ(counts[2], 0.0);
}

TEST(Sampler, TopPKeepsTheShortestPrefixThatReachesP) {
    const auto counts = frequencies(kLogits, {.temperature = 1.0f, .top_p = 0.7f}, 100000);
    EXPECT_NEAR(counts[0], 0.625, 0.01);
    EXPECT_GT(counts[1], 0.0);
    EXPECT_EQ(counts[2], 0.0);
}

TEST(Sampler, MinPDropsTokensFarBelowTheBest) {
    const auto counts = frequencies(kLogits, {.temperature = 1.0f, .min_p = 0.25f}, 100000);
    EXPECT_GT(counts[2], 0.0);
    EXPECT_EQ(counts[3], 0.0);
}

TEST(Sampler, RepetitionPenaltyLowersSeenTokens) {
    std::mt19937_64 random(1);
    const std::vector<float> logits = {2.0f, 1.9f, -1.0f};
    const std::vector<int32_t> history = {0, 0};
    EXPECT_EQ(sample(logits, history, {.repetition_penalty = 1.1f}, random), 1);
}

TEST(Sampler, SameSeedSameTokens) {
    std::mt19937_64 a(7), b(7);
    for (int i = 0; i < 100; ++i) {
        EXPECT_EQ(sample(kLogits, {}, {.temperature = 1.0f}, a),
                  sample(kLogits, {}, {.temperature = 1.0f}, b));
    }
}

TEST(Sampler, RefusesValuesOutOfRange) {
    EXPECT_THROW(check_sampling({.temperature = -1.0f}), Error);
    EXPECT_THROW(check_sampling({.top_k = -1}), Error);
    EXPECT_THROW(check_sampling({.top_p = 0.0f}), Error);
    EXPECT_THROW(check_sampling({.min_p = 1.5f}), Error);
    EXPECT_THROW(check_sampling({.repetition_penalty = 0.0f}), Error);
    EXPECT_NO_THROW(check_sampling({}));
}

}  // namespace quarot::runtime
