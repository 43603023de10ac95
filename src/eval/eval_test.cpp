#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "tensor/log_softmax.h"

namespace quarot::eval {

namespace {

std::vector<float> random_logits(size_t n, uint32_t seed, float spread) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal(0.0f, spread);
    std::vector<float> logits(n);
    for (auto& logit : logits) logit = normal(random);
    return logits;
}

double slow_log_sum_exp(const std::vector<float>& logits) {
    long double sum = 0.0L;
    for (const float logit : logits) sum += std::exp(static_cast<long double>(logit) - 50.0L);
    return static_cast<double>(std::log(sum) + 50.0L);
}

}  // namespace

TEST(LogSumExp, EqualsTheDirectSum) {
    for (const float spread : {0.1f, 3.0f, 30.0f}) {
        for (const size_t n : {1u, 15u, 16u, 1000u, 49152u}) {
            const auto logits = random_logits(n, 3, spread);
            EXPECT_NEAR(log_sum_exp(logits), slow_log_sum_exp(logits), 1e-10);
        }
    }
}

TEST(KlDivergence, IsZeroForEqualAndKnownForTwoTokens) {
    const auto p = random_logits(1000, 5, 2.0f);
    EXPECT_NEAR(kl_divergence(p, log_sum_exp(p), p, log_sum_exp(p)), 0.0, 1e-12);
    const std::vector<float> a = {std::log(0.75f), std::log(0.25f)};
    const std::vector<float> b = {std::log(0.5f), std::log(0.5f)};
    const double expected = 0.75 * std::log(1.5) + 0.25 * std::log(0.5);
    EXPECT_NEAR(kl_divergence(a, log_sum_exp(a), b, log_sum_exp(b)), expected, 1e-7);
}

}  // namespace quarot::eval
