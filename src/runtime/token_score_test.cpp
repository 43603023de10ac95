#include "runtime/token_score.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/error.h"
#include "runtime/logit_changes.h"

namespace quarot::runtime {
namespace {

TEST(TokenScore, GivesTheTokenAndTheLikeliestOnesByTheSameDoubles) {
    const std::vector<float> logits = {1.0f, 3.0f, 2.0f, 3.0f};
    const double log_sum = std::log(std::exp(1.0) + 2 * std::exp(3.0) + std::exp(2.0));
    const TokenScore score = score_token(logits, 3, 3);
    EXPECT_NEAR(score.token.log_probability, 3.0 - log_sum, 1e-12);
    ASSERT_EQ(score.top.size(), 3u);
    EXPECT_EQ(score.top[0].id, 1) << "the lower id first among equals";
    EXPECT_EQ(score.top[1].id, 3);
    EXPECT_EQ(score.top[2].id, 2);
    EXPECT_EQ(score.top[1].log_probability, score.token.log_probability);
    EXPECT_EQ(score.top[0].log_probability, score.token.log_probability);
}

TEST(TokenScore, GivesNoMoreThanThereAre) {
    const std::vector<float> logits = {1.0f, 3.0f};
    EXPECT_EQ(score_token(logits, 0, 20).top.size(), 2u);
    EXPECT_TRUE(score_token(logits, 0, 0).top.empty());
}

TEST(TokenScore, RefusesNaN) {
    const std::vector<float> logits = {1.0f, NAN};
    EXPECT_THROW(score_token(logits, 0, 1), Error);
}

TEST(LogitChanges, AddBiasAndTakePenaltiesOfTokensThatWereMade) {
    std::vector<float> logits = {0.0f, 1.0f, 2.0f, 3.0f};
    apply({.bias = {{0, 5.0f}, {3, -100.0f}}, .presence_penalty = 0.5f, .frequency_penalty = 0.25f},
          std::vector<int32_t>{1, 2, 2}, logits);
    EXPECT_EQ(logits, (std::vector<float>{5.0f, 0.25f, 1.0f, -97.0f}));
}

}  // namespace
}  // namespace quarot::runtime
