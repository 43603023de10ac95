// Is the refit the damped least squares solution, and its share the one that serves best on tokens
// that it has not seen?
#include "quantize/rounding/target_refit.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "core/expect_error.h"
#include "quantize/rounding/gptq_reference_for_tests.h"

namespace quarot::quantize {
namespace {

constexpr int64_t kRefitN = 24;
constexpr int64_t kRefitRows = 70;  // more than a tile
constexpr double kRefitDamp = 0.01;

// Token after token, [kRefitN] each.
struct Tokens {
    std::vector<std::vector<double>> quantized, exact;
};

std::vector<double> random_vector(int64_t n, std::mt19937& engine) {
    std::normal_distribution<double> normal;
    std::vector<double> values(static_cast<size_t>(n));
    for (double& value : values) value = normal(engine);
    return values;
}

// x = x~ + mixing * (B x~ + noise) with a random B of norm about 1.
Tokens make_tokens(int64_t count, uint32_t seed, double mixing, double noise) {
    std::mt19937 of_map(5), engine(seed);
    std::vector<std::vector<double>> map;
    for (int64_t i = 0; i < kRefitN; ++i) map.push_back(random_vector(kRefitN, of_map));
    Tokens tokens;
    for (int64_t t = 0; t < count; ++t) {
        const std::vector<double> quantized = random_vector(kRefitN, engine);
        const std::vector<double> random = random_vector(kRefitN, engine);
        std::vector<double> exact = quantized;
        for (int64_t i = 0; i < kRefitN; ++i) {
            double sum = noise * random[i];
            for (int64_t j = 0; j < kRefitN; ++j)
                sum += map[i][j] * quantized[j] / std::sqrt(kRefitN);
            exact[i] += mixing * sum;
        }
        tokens.quantized.push_back(quantized);
        tokens.exact.push_back(exact);
    }
    return tokens;
}

Moments moments_of(const Tokens& tokens) {
    Moments moments{std::vector<double>(kRefitN * kRefitN), std::vector<double>(kRefitN * kRefitN),
                    std::ssize(tokens.exact)};
    for (size_t t = 0; t < tokens.exact.size(); ++t) {
        for (int64_t i = 0; i < kRefitN; ++i) {
            for (int64_t j = 0; j < kRefitN; ++j) {
                moments.own[i * kRefitN + j] += tokens.quantized[t][i] * tokens.quantized[t][j];
                moments.cross[i * kRefitN + j] += tokens.exact[t][i] * tokens.quantized[t][j];
            }
        }
    }
    return moments;
}

const std::vector<float>& refit_weights() {
    static const std::vector<float> values = random_weights(kRefitRows * kRefitN, 8);
    return values;
}
WeightMatrix refit_weight() {
    return {refit_weights(), kRefitRows, kRefitN};
}

// Sum of |W x - V x~|^2.
double distance(const std::vector<float>& v, const Tokens& tokens) {
    double sum = 0.0;
    for (size_t t = 0; t < tokens.exact.size(); ++t) {
        for (int64_t r = 0; r < kRefitRows; ++r) {
            double error = 0.0;
            for (int64_t i = 0; i < kRefitN; ++i) {
                error += refit_weights()[r * kRefitN + i] * tokens.exact[t][i] -
                         v[r * kRefitN + i] * tokens.quantized[t][i];
            }
            sum += error * error;
        }
    }
    return sum;
}

// W + share W M.
std::vector<float> refitted(const TargetRefit& refit, double share) {
    const std::vector<float> moves = refit.moves_of(refit_weight());
    std::vector<float> target = refit_weights();
    for (size_t i = 0; i < target.size(); ++i) {
        target[i] = static_cast<float>(target[i] + share * moves[i]);
    }
    return target;
}

double share_of(const TargetRefit& refit) {
    return refit.share_for(refit_weight(), refit.moves_of(refit_weight()));
}

class TargetRefitTest : public testing::Test {
  protected:
    TargetRefit refit(const Tokens& fitted, const Tokens& held_out, double damp = kRefitDamp) {
        return {"layer 3, the input of o_proj",
                {kRefitN, moments_of(fitted), moments_of(held_out)},
                damp,
                pool_};
    }
    ThreadPool pool_{2};
};

// W (C + lambda I) (H + lambda I)^-1 with the inverse written out.
TEST_F(TargetRefitTest, IsTheDampedLeastSquaresSolution) {
    const Tokens fitted = make_tokens(100, 1, 0.4, 1.0);
    const Moments moments = moments_of(fitted);
    double lambda = 0.0;
    for (int64_t i = 0; i < kRefitN; ++i)
        lambda += kRefitDamp * moments.own[i * (kRefitN + 1)] / kRefitN;
    Matrix damped(kRefitN, std::vector<double>(kRefitN)), crossed = damped;
    for (int64_t i = 0; i < kRefitN; ++i) {
        for (int64_t j = 0; j < kRefitN; ++j) {
            damped[i][j] = moments.own[i * kRefitN + j] + (i == j ? lambda : 0.0);
            crossed[i][j] = moments.cross[i * kRefitN + j] + (i == j ? lambda : 0.0);
        }
    }
    const Matrix inverse = inverse_of(damped);
    const TargetRefit made = refit(fitted, make_tokens(20, 2, 0.4, 1.0));
    for (const double share : {1.0, 0.25}) {
        const std::vector<float> found = refitted(made, share);
        for (int64_t r = 0; r < kRefitRows; ++r) {
            for (int64_t j = 0; j < kRefitN; ++j) {
                double solved = 0.0;
                for (int64_t i = 0; i < kRefitN; ++i) {
                    for (int64_t k = 0; k < kRefitN; ++k) {
                        solved += refit_weights()[r * kRefitN + i] * crossed[i][k] * inverse[k][j];
                    }
                }
                const double w = refit_weights()[r * kRefitN + j];
                ASSERT_NEAR(found[r * kRefitN + j], w + share * (solved - w), 1e-7)
                    << r << ' ' << j;
            }
        }
    }
}

TEST_F(TargetRefitTest, FindsTheMapThatInputsWentThrough) {
    const Tokens fitted = make_tokens(200, 3, 0.3, 0.0), others = make_tokens(50, 4, 0.3, 0.0);
    const TargetRefit made = refit(fitted, others, 1e-9);
    const double share = share_of(made);
    EXPECT_NEAR(share, 1.0, 1e-6);
    EXPECT_LT(distance(refitted(made, share), others), 1e-6 * distance(refit_weights(), others));
}

TEST_F(TargetRefitTest, TakesTheShareThatIsBestOnTokensHeldOut) {
    const Tokens fitted = make_tokens(30, 5, 0.3, 1.0), held_out = make_tokens(40, 6, 0.3, 1.0);
    const TargetRefit made = refit(fitted, held_out);
    const double share = share_of(made);
    EXPECT_GT(share, 0.1);
    EXPECT_LT(share, 0.9);
    const double best = distance(refitted(made, share), held_out);
    for (const double other : {0.0, share - 0.05, share + 0.05, 1.0}) {
        EXPECT_LT(best, distance(refitted(made, other), held_out)) << other;
    }
}

TEST_F(TargetRefitTest, ARefitThatHurtsThereIsLeftOut) {
    const TargetRefit made = refit(make_tokens(100, 7, 0.3, 0.0), make_tokens(40, 8, -0.3, 0.0));
    EXPECT_EQ(share_of(made), 0.0);
    EXPECT_EQ(refitted(made, 0.0), refit_weights());
}

TEST_F(TargetRefitTest, ItsHessianIsTheMeanOverAllTokens) {
    const Tokens fitted = make_tokens(30, 9, 0.3, 1.0), held_out = make_tokens(10, 10, 0.3, 1.0);
    TargetRefit made = refit(fitted, held_out);
    const Hessian hessian = made.take_hessian();
    const Moments a = moments_of(fitted), b = moments_of(held_out);
    for (int64_t i = 0; i < kRefitN * kRefitN; ++i) {
        ASSERT_DOUBLE_EQ(hessian.on_host()[i], (a.own[i] + b.own[i]) / 40.0);
    }
}

TEST_F(TargetRefitTest, InputsThatNothingReachesKeepTheirWeights) {
    Tokens fitted = make_tokens(100, 11, 0.3, 1.0), held_out = make_tokens(20, 12, 0.3, 1.0);
    for (Tokens* tokens : {&fitted, &held_out}) {
        for (auto& token : tokens->quantized) token[5] = 0.0;
    }
    const TargetRefit made = refit(fitted, held_out);
    const std::vector<float> found = refitted(made, 1.0);
    for (int64_t r = 0; r < kRefitRows; ++r) {
        EXPECT_EQ(found[r * kRefitN + 5], refit_weights()[r * kRefitN + 5]);
        EXPECT_NE(found[r * kRefitN + 6], refit_weights()[r * kRefitN + 6]);
    }
    for (Tokens* tokens : {&fitted, &held_out}) {
        for (auto& token : tokens->quantized) token.assign(kRefitN, 0.0);
    }
    EXPECT_EQ(share_of(refit(fitted, held_out)), 0.0) << "of no inputs at all";
}

TEST_F(TargetRefitTest, DoesNotDependOnTheThreads) {
    const Tokens fitted = make_tokens(50, 13, 0.3, 1.0), held_out = make_tokens(20, 14, 0.3, 1.0);
    ThreadPool one(1);
    const TargetRefit alone("site", {kRefitN, moments_of(fitted), moments_of(held_out)}, kRefitDamp,
                            one);
    const TargetRefit both = refit(fitted, held_out);
    EXPECT_EQ(share_of(alone), share_of(both));
    EXPECT_EQ(refitted(alone, 0.5), refitted(both, 0.5));
}

TEST_F(TargetRefitTest, NamesTheSiteOfWhatIsNotFinite) {
    Tokens fitted = make_tokens(50, 15, 0.3, 1.0);
    fitted.quantized[7][3] = std::numeric_limits<double>::infinity();
    expect_error(ErrorCode::Numeric, {"layer 3, the input of o_proj"},
                 [&] { refit(fitted, make_tokens(20, 16, 0.3, 1.0)); });
}

}  // namespace
}  // namespace quarot::quantize
