#include "eval/divergence.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace quarot::eval {

namespace {

double at(const Spread& spread, std::string_view name) {
    for (size_t i = 0; i < spread.size(); ++i) {
        if (kQuantiles[i].name == name) return spread[i];
    }
    ADD_FAILURE() << name;
    return 0.0;
}

// Probabilities of the text's token: model 0.5 0.25 0.125 0.5, base 0.25 0.25 0.5 0.5.
const std::vector<PositionPair> kPairs = {
    {.nll = std::log(2.0), .base_nll = std::log(4.0), .kl = 0.4, .same_top1 = true},
    {.nll = std::log(4.0), .base_nll = std::log(4.0), .kl = 0.1, .same_top1 = true},
    {.nll = std::log(8.0), .base_nll = std::log(2.0), .kl = 0.3, .same_top1 = false},
    {.nll = std::log(2.0), .base_nll = std::log(2.0), .kl = 0.0, .same_top1 = true}};

}  // namespace

TEST(Spread, InterpolatesBetweenSortedNeighbours) {
    const Spread spread = spread_of(std::vector<double>{4.0, 1.0, 3.0, 2.0, 5.0});
    EXPECT_EQ(at(spread, "maximum"), 5.0);
    EXPECT_EQ(at(spread, "minimum"), 1.0);
    EXPECT_EQ(at(spread, "median"), 3.0);
    EXPECT_EQ(at(spread, "p75"), 4.0);
    EXPECT_NEAR(at(spread, "p90"), 4.6, 1e-12);
    EXPECT_NEAR(at(spread, "p0.1"), 1.004, 1e-12);
    EXPECT_EQ(at(spread_of(std::vector<double>{7.0}), "p99.9"), 7.0);
    EXPECT_EQ(at(spread_of(std::vector<double>{1.0, 2.0}), "median"), 1.5);
}

// Sums over the four positions, by hand.
TEST(Divergence, OfFourPositions) {
    const Divergence d = divergence_of(kPairs);
    EXPECT_EQ(d.n_positions, 4);
    EXPECT_NEAR(d.kl.value, 0.2, 1e-12);
    EXPECT_NEAR(*d.kl.standard_error, std::sqrt(0.10 / 3 / 4), 1e-12);
    EXPECT_NEAR(d.kl_quantile("median"), 0.2, 1e-12);
    EXPECT_EQ(d.kl_quantile("maximum"), 0.4);
    EXPECT_EQ(d.same_top1.value, 0.75);
    EXPECT_NEAR(*d.same_top1.standard_error, std::sqrt(0.75 * 0.25 / 3), 1e-12);
    EXPECT_NEAR(d.delta_p.value, (0.25 - 0.375) / 4, 1e-12);
    EXPECT_NEAR(at(d.delta_p_spread, "minimum"), -0.375, 1e-12);
    const double square = (0.0625 + 0.140625) / 4;
    EXPECT_NEAR(d.rms_delta_p.value, std::sqrt(square), 1e-12);
    const double fourth = (0.0625 * 0.0625 + 0.140625 * 0.140625) / 4;
    EXPECT_NEAR(*d.rms_delta_p.standard_error,
                0.5 / std::sqrt(square) * std::sqrt((fourth - square * square) / 3), 1e-12);
}

TEST(Divergence, PerplexitiesAndTheirRatio) {
    const Divergence d = divergence_of(kPairs);
    const double ln2 = std::log(2.0);
    // nll in units of ln 2: 1 2 3 1 against 2 2 1 1.
    EXPECT_NEAR(d.perplexity.value, std::exp2(7.0 / 4), 1e-12);
    EXPECT_NEAR(d.base_perplexity.value, std::exp2(6.0 / 4), 1e-12);
    const double variance = (15.0 - 49.0 / 4) / 3, base_variance = (10.0 - 36.0 / 4) / 3;
    const double covariance = (10.0 - 7.0 * 6.0 / 4) / 3;
    EXPECT_NEAR(*d.perplexity.standard_error, std::exp2(7.0 / 4) * ln2 * std::sqrt(variance / 4),
                1e-12);
    EXPECT_NEAR(d.ln_ratio.value, ln2 / 4, 1e-12);
    EXPECT_NEAR(*d.ln_ratio.standard_error,
                ln2 * std::sqrt((variance + base_variance - 2 * covariance) / 4), 1e-12);
    EXPECT_NEAR(d.ratio.value, std::exp2(0.25), 1e-12);
    EXPECT_NEAR(*d.ratio.standard_error, std::exp2(0.25) * *d.ln_ratio.standard_error, 1e-12);
    EXPECT_NEAR(d.difference.value, std::exp2(7.0 / 4) - std::exp2(6.0 / 4), 1e-12);
    const double p = std::exp2(7.0 / 4), q = std::exp2(6.0 / 4);
    EXPECT_NEAR(
        *d.difference.standard_error,
        ln2 * std::sqrt((p * p * variance + q * q * base_variance - 2 * p * q * covariance) / 4),
        1e-12);
    ASSERT_TRUE(d.correlation);
    EXPECT_NEAR(*d.correlation, covariance / std::sqrt(variance * base_variance), 1e-12);
}

TEST(Divergence, OfEqualModelsIsNothing) {
    std::vector<PositionPair> pairs = {{1.0, 1.0, 0.0, true}, {2.0, 2.0, 0.0, true}};
    const Divergence d = divergence_of(pairs);
    EXPECT_EQ(d.kl.value, 0.0);
    EXPECT_EQ(d.ratio.value, 1.0);
    EXPECT_EQ(d.rms_delta_p.value, 0.0);
    EXPECT_FALSE(d.rms_delta_p.standard_error);
    EXPECT_NEAR(*d.correlation, 1.0, 1e-12);
    pairs.pop_back();
    EXPECT_FALSE(divergence_of(pairs).correlation) << "of one position there is none";
}

TEST(Ratio, OfSumsWeighsLongDocumentsMore) {
    const Mean ratio = ratio_of(std::vector<double>{2.0, 12.0}, std::vector<double>{2.0, 4.0});
    EXPECT_NEAR(ratio.value, 14.0 / 6.0, 1e-12);
    const double rest = 2.0 - 2.0 * 14.0 / 6.0;  // the other one's is the opposite
    EXPECT_NEAR(*ratio.standard_error, std::sqrt(2.0 * 2.0 * rest * rest) / 6.0, 1e-12);
    // Documents of one length: the error of their mean.
    const std::vector<double> values = {1.0, 2.0, 4.0};
    EXPECT_NEAR(*ratio_of(values, std::vector<double>{1.0, 1.0, 1.0}).standard_error,
                *mean_of(values).standard_error, 1e-12);
    EXPECT_FALSE(ratio_of(std::vector<double>{3.0}, std::vector<double>{2.0}).standard_error);
}

}  // namespace quarot::eval
