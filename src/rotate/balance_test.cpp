#include "rotate/balance.h"

#include <gtest/gtest.h>

#include <cmath>

namespace quarot::rotate {
namespace {

TEST(BalancingScales, MakeInputsAndWeightsAlike) {
    const std::vector<double> w = {16.0, 1.0, 0.25, 3.0}, x = {1.0, 16.0, 0.5, 7.0};
    const auto s = balancing_scales(w, x, 1.0);
    double product = 1.0;
    for (const double scale : s) product *= scale;
    EXPECT_NEAR(product, 1.0, 1e-14);
    const auto ratio = [&](size_t i) { return s[i] * s[i] * x[i] / (w[i] / (s[i] * s[i])); };
    for (size_t i = 1; i < s.size(); ++i) EXPECT_NEAR(ratio(i), ratio(0), 1e-12) << i;
    EXPECT_NEAR(s[0] / s[1], 4.0, 1e-14) << "(16 / (1 / 16))^(1/4)";
}

TEST(BalancingScales, GoAsFarAsTheExponentSays) {
    const std::vector<double> w = {16.0, 1.0}, x = {1.0, 16.0};
    EXPECT_NEAR(balancing_scales(w, x, 0.5)[0], std::sqrt(balancing_scales(w, x, 1.0)[0]), 1e-14);
    EXPECT_EQ(balancing_scales(w, x, 0.0), (std::vector<double>{1.0, 1.0}));
}

TEST(BalancingScales, AreOneWhereNothingIsReadOrWritten) {
    const auto s = balancing_scales(std::vector<double>{0.0, 4.0, 4.0, 1.0},
                                    std::vector<double>{1.0, 0.0, 1.0, 4.0}, 1.0);
    EXPECT_EQ(s[0], 1.0);
    EXPECT_EQ(s[1], 1.0);
    EXPECT_NEAR(s[2] * s[3], 1.0, 1e-14) << "of those that count";
    EXPECT_GT(s[2], s[3]);
}

TEST(BalancingScales, StayWithinAThousand) {
    const std::vector<double> w = {1e20, 1e-20}, x = {1e-20, 1e20};
    EXPECT_EQ(balancing_scales(w, x, 1.0), (std::vector<double>{1e3, 1e-3}));
}

}  // namespace
}  // namespace quarot::rotate
