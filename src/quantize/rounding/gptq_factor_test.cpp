// What GPTQ does with Hessians that cannot be factored as they are.
#include "quantize/rounding/gptq_factor.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "core/error.h"
#include "quantize/rounding/gptq.h"
#include "quantize/rounding/gptq_reference_for_tests.h"
#include "quantize/rounding/rtn.h"

namespace quarot::quantize {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
const std::string kSite = "layer 3, the input of down_proj";

struct Factored {
    std::optional<GptqFactor> factor;
    std::string warnings;
};

Factored factor(const std::vector<double>& hessian, int64_t n, double damp,
                bool act_order = false) {
    ThreadPool pool(1);
    testing::internal::CaptureStderr();
    Factored result;
    result.factor = factor_hessian({kSite, n, n, hessian}, damp, act_order, pool);
    result.warnings = testing::internal::GetCapturedStderr();
    return result;
}

std::vector<double> rank_one(int64_t n) {
    std::vector<double> x(n), hessian(n * n);
    for (int64_t i = 0; i < n; ++i) x[i] = std::cos(static_cast<double>(i + 1));
    for (int64_t i = 0; i < n; ++i) {
        for (int64_t j = 0; j < n; ++j) hessian[i * n + j] = x[i] * x[j];
    }
    return hessian;
}

// |U H U^T - 1|, largest entry, for the Hessian with `added` on its diagonal.
double distance_from_identity(const GptqFactor& factor, const std::vector<double>& hessian,
                              int64_t n, double added) {
    double largest = 0.0;
    for (int64_t i = 0; i < n; ++i) {
        for (int64_t j = 0; j < n; ++j) {
            double sum = 0.0;
            for (int64_t k = 0; k < n; ++k) {
                for (int64_t l = 0; l < n; ++l) {
                    const double h = hessian[factor.order[k] * n + factor.order[l]];
                    const double damped = k == l ? h + added : h;
                    sum += factor.u[i * n + k] * damped * factor.u[j * n + l];
                }
            }
            largest = std::max(largest, std::fabs(sum - (i == j ? 1.0 : 0.0)));
        }
    }
    return largest;
}

double mean_diagonal(const std::vector<double>& hessian, int64_t n) {
    double sum = 0.0;
    for (int64_t i = 0; i < n; ++i) sum += hessian[i * (n + 1)];
    return sum / static_cast<double>(n);
}

TEST(GptqFactor, IsThatOfTheInverseOfTheDampedHessian) {
    const std::vector<double> hessian = correlated_hessian(40, 1);
    for (const bool act_order : {false, true}) {
        const Factored f = factor(hessian, 40, 0.01, act_order);
        ASSERT_TRUE(f.factor);
        EXPECT_EQ(f.warnings, "");
        const double added = 0.01 * mean_diagonal(hessian, 40);
        EXPECT_LT(distance_from_identity(*f.factor, hessian, 40, added), 1e-10);
    }
}

// Small inputs, and many columns without any: their ones must not weigh on the damping.
TEST(GptqFactor, DeadColumnsDoNotDamp) {
    std::vector<double> hessian = correlated_hessian(40, 3);
    for (double& h : hessian) h *= 1e-4;
    for (int64_t dead = 0; dead < 40; dead += 2) {
        for (int64_t i = 0; i < 40; ++i) hessian[dead * 40 + i] = hessian[i * 40 + dead] = 0.0;
    }
    const Factored f = factor(hessian, 40, 0.01);
    ASSERT_TRUE(f.factor);
    const double added = 0.01 * 2.0 * mean_diagonal(hessian, 40);  // every second column is live
    for (int64_t dead = 0; dead < 40; dead += 2) hessian[dead * 41] = 1.0;
    EXPECT_LT(distance_from_identity(*f.factor, hessian, 40, added), 1e-10);
}

TEST(GptqFactor, ActivationOrderFallsAndLeavesColumnsWithoutCodesInPlace) {
    std::vector<double> hessian(36, 0.0);
    const std::vector<double> diagonal = {2.0, 5.0, 0.0, 2.0, 7.0, 9.0};
    for (int64_t i = 0; i < 6; ++i) hessian[i * 7] = diagonal[i];
    ThreadPool pool(1);
    const auto f = factor_hessian({kSite, 6, 4, hessian}, 0.01, true, pool);
    ASSERT_TRUE(f);
    EXPECT_EQ(f->order, (std::vector<int64_t>{1, 0, 3, 2, 4, 5}));
    EXPECT_EQ(f->dead, (std::vector<bool>{false, false, false, true, false, false}));
}

TEST(GptqFactor, ASingularHessianIsDampedMoreWithAWarningThatNamesTheSite) {
    const std::vector<double> hessian = rank_one(20);
    const Factored f = factor(hessian, 20, 0.0);
    ASSERT_TRUE(f.factor);
    EXPECT_NE(f.warnings.find(kSite), std::string::npos) << f.warnings;
    EXPECT_NE(f.warnings.find("0.0001"), std::string::npos) << f.warnings;
    const double added = 1e-4 * mean_diagonal(hessian, 20);
    EXPECT_LT(distance_from_identity(*f.factor, hessian, 20, added), 1e-9);
}

TEST(GptqFactor, EqualColumnsAreSingularWhateverRoundingMakesOfThem) {
    for (uint32_t seed = 0; seed < 10; ++seed) {
        std::vector<double> hessian = correlated_hessian(30, seed);
        for (int64_t i = 0; i < 30; ++i) hessian[30 * 29 + i] = hessian[30 * 3 + i];
        for (int64_t i = 0; i < 30; ++i) hessian[30 * i + 29] = hessian[30 * i + 3];
        const Factored f = factor(hessian, 30, 0.0);
        ASSERT_TRUE(f.factor);
        EXPECT_NE(f.warnings, "") << seed;
        EXPECT_EQ(factor(hessian, 30, 0.01).warnings, "") << seed;
    }
}

TEST(GptqFactor, AnIndefiniteHessianIsDampedUntilItIsNot) {
    std::vector<double> hessian = correlated_hessian(30, 4);
    for (int64_t i = 0; i < 30; ++i) hessian[i * 31] *= 0.8;
    const Factored f = factor(hessian, 30, 0.001);
    ASSERT_TRUE(f.factor);
    EXPECT_NE(f.warnings, "");
    for (const double u : f.factor->u) ASSERT_TRUE(std::isfinite(u));
}

TEST(GptqFactor, NothingHelpsANegativeHessian) {
    EXPECT_FALSE(factor({-1.0, 0.0, 0.0, -2.0}, 2, 0.01).factor);
}

TEST(GptqFactor, NothingComesOfInputsThatAreAllZero) {
    EXPECT_FALSE(factor(std::vector<double>(64, 0.0), 8, 0.01).factor);
}

TEST(GptqFactor, NanAndInfinityNameTheSite) {
    for (const double bad : {kNan, std::numeric_limits<double>::infinity()}) {
        std::vector<double> hessian = correlated_hessian(12, 2);
        hessian[77] = bad;
        ThreadPool pool(2);
        try {
            factor_hessian({kSite, 12, 12, hessian}, 0.01, false, pool);
            FAIL() << bad;
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), ErrorCode::Numeric);
            EXPECT_NE(std::string(error.what()).find(kSite), std::string::npos);
        }
    }
}

TEST(GptqFactor, WithoutAFactorWeightsAreRoundedToNearest) {
    const std::vector<double> zeros(64, 0.0);
    const std::vector<float> weights = random_weights(16, 1);
    WeightFormat format;
    format.bits = 4;
    ThreadPool pool(1);
    testing::internal::CaptureStderr();
    const auto prepared = prepare_gptq({kSite, 8, 6, zeros}, format, pool);
    const std::string warnings = testing::internal::GetCapturedStderr();
    EXPECT_NE(warnings.find(kSite), std::string::npos);
    EXPECT_NE(warnings.find("nearest"), std::string::npos);
    const QuantizedPiece piece = prepared->quantize({weights, 2, 8});
    const QuantizedPiece nearest =
        prepare_rtn({kSite, 8, 6, {}}, format, pool)->quantize({weights, 2, 8});
    EXPECT_EQ(piece.rest, nearest.rest);
    for (int64_t r = 0; r < 2; ++r) {
        std::vector<float> a(6), b(6);
        piece.codes.dequantize_row(r, a);
        nearest.codes.dequantize_row(r, b);
        EXPECT_EQ(a, b);
    }
}

}  // namespace
}  // namespace quarot::quantize
