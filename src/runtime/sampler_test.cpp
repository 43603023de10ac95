#include "runtime/sampler.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "core/error.h"
#include "runtime/portable_exp.h"

namespace quarot::runtime {

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::vector<int32_t> ids_of(const std::vector<Candidate>& candidates) {
    std::vector<int32_t> ids;
    for (const Candidate& candidate : candidates) ids.push_back(candidate.id);
    return ids;
}

void expect_numeric_error(const std::vector<float>& logits, const SamplingOptions& options,
                          const std::string& word) {
    std::mt19937_64 random(1);
    try {
        sample(logits, {}, options, random);
        FAIL() << "a token was chosen";
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::Numeric);
        EXPECT_NE(std::string(error.what()).find(word), std::string::npos) << error.what();
    }
}

const std::vector<float> kLogits = {std::log(0.5f), std::log(0.3f), std::log(0.15f),
                                    std::log(0.05f)};

}  // namespace

TEST(Sampler, GreedyTakesTheLowestIdAmongTheBest) {
    std::mt19937_64 random(1);
    const std::vector<float> logits = {0.0f, 2.0f, 2.0f, 1.0f};
    EXPECT_EQ(sample(logits, {}, {}, random), 1);
}

TEST(Sampler, RepetitionPenaltyLowersSeenTokens) {
    std::mt19937_64 random(1);
    const std::vector<float> logits = {2.0f, 1.9f, -1.0f};
    const std::vector<int32_t> history = {0, 0};
    EXPECT_EQ(sample(logits, history, {.repetition_penalty = 1.1f}, random), 1);
}

TEST(Sampler, RepetitionPenaltyCountsATokenOnce) {
    const std::vector<float> logits = {2.0f, 1.0f, -1.0f};
    const SamplingOptions options = {.temperature = 1.0f, .repetition_penalty = 1.5f};
    const std::vector<int32_t> once = {0, 2}, often = {0, 2, 0, 0, 2, 0};
    const auto a = candidates(logits, once, options);
    const auto b = candidates(logits, often, options);
    ASSERT_EQ(a.size(), b.size());
    for (size_t i = 0; i < a.size(); ++i) EXPECT_EQ(a[i].probability, b[i].probability);
}

TEST(Sampler, TiesAtTheBorderOfTopKAndTopPGoToTheLowerId) {
    const std::vector<float> logits = {0.0f, 1.0f, 1.0f, 1.0f};
    EXPECT_EQ(ids_of(candidates(logits, {}, {.temperature = 1.0f, .top_k = 2})),
              (std::vector<int32_t>{1, 2}));
    EXPECT_EQ(ids_of(candidates(logits, {}, {.temperature = 1.0f, .top_p = 0.5f})),
              (std::vector<int32_t>{1, 2}));
}

TEST(Sampler, TopKOfOneIsGreedyWhateverTheTemperature) {
    std::mt19937_64 random(1);
    const std::vector<float> logits = {1e-30f, 2e-30f, -1.0f};  // alike once exponentiated
    EXPECT_EQ(sample(logits, {}, {}, random), 1);
    EXPECT_EQ(sample(logits, {}, {.temperature = 10.0f, .top_k = 1}, random), 1);
}

TEST(Sampler, TheSmallestTopPsKeepOne) {
    for (const float least : {std::numeric_limits<float>::denorm_min(), 0.0f}) {
        check_sampling({.temperature = 1.0f, .top_p = least});
        EXPECT_EQ(ids_of(candidates(kLogits, {}, {.temperature = 1.0f, .top_p = least})),
                  (std::vector<int32_t>{0}));
    }
}

TEST(Sampler, MinusInfinityIsATokenThatCannotCome) {
    const std::vector<float> logits = {-kInfinity, 0.0f, -kInfinity, 0.0f};
    EXPECT_EQ(ids_of(candidates(logits, {}, {.temperature = 1.0f})), (std::vector<int32_t>{1, 3}));
    EXPECT_EQ(ids_of(candidates(logits, {}, {.temperature = 1.0f, .top_k = 3})),
              (std::vector<int32_t>{1, 3}));
    const std::vector<int32_t> history = {0};
    EXPECT_EQ(ids_of(candidates(logits, history, {.repetition_penalty = 2.0f})),
              (std::vector<int32_t>{1}));
}

TEST(Sampler, LogitsThatAreNoNumbersAreANamedError) {
    const float nan = std::numeric_limits<float>::quiet_NaN();
    for (const float temperature : {0.0f, 1.0f}) {
        expect_numeric_error({0.0f, nan, 1.0f}, {.temperature = temperature}, "token 1 is nan");
        expect_numeric_error({0.0f, 1.0f, kInfinity}, {.temperature = temperature},
                             "token 2 is inf");
        expect_numeric_error({-kInfinity, -kInfinity}, {.temperature = temperature},
                             "all 2 tokens are -inf");
    }
}

TEST(Sampler, ExtremeNumbersNeitherOverflowNorVanish) {
    const float most = std::numeric_limits<float>::max();
    const std::vector<float> logits = {most, -most, 0.0f};
    const std::vector<int32_t> history = {0, 1, 2};
    const float least = std::numeric_limits<float>::denorm_min();
    for (const float penalty : {least, 0.1f, 10.0f}) {
        const auto kept =
            candidates(logits, history, {.temperature = least, .repetition_penalty = penalty});
        EXPECT_EQ(kept.front().id, 0);
        EXPECT_EQ(kept.front().probability, 1.0);
    }
}

TEST(Sampler, SameSeedSameTokensOnEveryMachine) {
    std::mt19937_64 random(7);
    std::string drawn;
    for (int i = 0; i < 40; ++i) {
        drawn += std::to_string(sample(kLogits, {}, {.temperature = 1.3f, .top_p = 0.97f}, random));
    }
    EXPECT_EQ(drawn, "2302002201210020332010000000111001021002");
}

TEST(Sampler, GreedyLeavesTheRandomNumbersAndOthersTakeOne) {
    std::mt19937_64 random(7), untouched(7);
    sample(kLogits, {}, {}, random);
    EXPECT_EQ(random, untouched);
    sample(kLogits, {}, {.temperature = 1.0f}, random);
    untouched.discard(1);
    EXPECT_EQ(random, untouched);
}

TEST(PortableExp, IsTheExponentialToAUnitInTheLastPlace) {
    for (double x = 0.0; x > -707.0; x -= 0.0317) {
        const auto exact = std::exp(static_cast<long double>(x));
        const long double error = (static_cast<long double>(portable_exp(x)) - exact) / exact;
        EXPECT_LT(std::abs(static_cast<double>(error)), 2.3e-16) << x;
    }
    EXPECT_EQ(portable_exp(0.0), 1.0);
    EXPECT_EQ(portable_exp(-1000.0), 0.0);
    EXPECT_EQ(portable_exp(-std::numeric_limits<double>::infinity()), 0.0);
}

// The bits themselves, so that another machine's result is compared with these.
TEST(PortableExp, HasTheseBits) {
    EXPECT_EQ(portable_exp(-1.0), 0x1.78b56362cef38p-2);
    EXPECT_EQ(portable_exp(-0.1), 0x1.cf46d99d52b3ap-1);
    EXPECT_EQ(portable_exp(-300.5), 0x1.629f5b5352a54p-434);
}

TEST(Sampler, RefusesValuesOutOfRange) {
    EXPECT_THROW(check_sampling({.temperature = -1.0f}), Error);
    EXPECT_THROW(check_sampling({.top_k = -1}), Error);
    EXPECT_THROW(check_sampling({.top_p = -0.5f}), Error);
    EXPECT_THROW(check_sampling({.min_p = 1.5f}), Error);
    EXPECT_THROW(check_sampling({.repetition_penalty = 0.0f}), Error);
    EXPECT_NO_THROW(check_sampling({}));
}

}  // namespace quarot::runtime
