// Round-to-nearest against published values, a slow search written differently, and hostile rows.
#include "quantize/rounding/rtn.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "core/expect_error.h"
#include "quantize/rounding/clip_search.h"
#include "quantize/rounding/power_error.h"
#include "quantize/rounding/weighted_error.h"
#include "tensor/float_convert.h"

namespace quarot::quantize {
namespace {

WeightFormat rtn_format(int bits, bool symmetric, bool clip_search = true) {
    WeightFormat format;
    format.bits = bits;
    format.symmetric = symmetric;
    format.clip_search = clip_search;
    return format;
}

QuantizedMatrix quantize_row(const std::vector<float>& row, const WeightFormat& format) {
    return quantize_rtn({row, 1, static_cast<int64_t>(row.size())}, format);
}

// q as the formulas have it: two's complement when symmetric, 0 .. 2^b - 1 when not.
std::vector<int> row_codes(const QuantizedMatrix& matrix, int64_t row = 0) {
    std::vector<uint8_t> stored(matrix.cols);
    matrix.unpack_row(row, stored);
    std::vector<int> codes;
    for (const uint8_t value : stored) codes.push_back(value + matrix.q_min());
    return codes;
}

std::vector<float> random_row(int64_t n, uint32_t seed, float deviation = 0.02f) {
    std::mt19937 engine(seed);
    std::student_t_distribution<float> heavy_tails(5.0f);
    std::vector<float> row(n);
    for (float& value : row) value = deviation * heavy_tails(engine);
    return row;
}

// ---- published values (fp16-rounded inputs)

std::vector<float> published_row() {
    std::vector<float> row = {.03f,  -.11f, .25f, -.4f,  .02f, .18f,  -.07f, .9f,
                              -.33f, .05f,  .21f, -.14f, .09f, -.26f, .37f,  -.01f};
    for (float& value : row) value = f16_to_f32(f32_to_f16(value));
    return row;
}

TEST(Rtn, WithoutSearchTheWholeRangeIsKept) {
    const QuantizedMatrix q = quantize_row(published_row(), rtn_format(4, true, false));
    EXPECT_EQ(q.scale(0, 0), 0.128557473f);
    EXPECT_NEAR(power_error(published_row(), {q.scale(0, 0), -8.0f, 7.0f}, 1.0f), 5.200e-3, 5e-7);
}

TEST(Rtn, SearchFindsThePublishedScaleAndCodes) {
    const QuantizedMatrix q = quantize_row(published_row(), rtn_format(4, true));
    EXPECT_EQ(q.scale(0, 0), 0.124700762f);
    EXPECT_NEAR(power_error(published_row(), {q.scale(0, 0), -8.0f, 7.0f}, 1.0f), 4.699e-3, 5e-7);
    EXPECT_EQ(row_codes(q),
              (std::vector<int>{0, -1, 2, -3, 0, 1, -1, 7, -3, 0, 2, -1, 1, -2, 3, 0}));
}

TEST(Rtn, AsymmetricSearchKeepsThePublishedRange) {
    const QuantizedMatrix q = quantize_row(published_row(), rtn_format(4, false));
    EXPECT_EQ(q.scale(0, 0), 0.0866536424f);
    EXPECT_EQ(q.zero(0, 0), 5);
}

// ---- a second search: double precision, std::pow, from the narrow end to the wide one

struct SlowChoice {
    double error = 0.0;
    float scale = 0.0f;
    int zero = 0;
};

double slow_error(const std::vector<float>& row, float scale, int zero, int bottom, int top) {
    double error = 0.0;
    for (const float w : row) {
        const double ratio = static_cast<double>(w / scale);
        double q = std::rint(ratio) + zero;
        if (q < bottom) q = bottom;
        if (q > top) q = top;
        error += std::pow(
            std::fabs((q - zero) * static_cast<double>(scale) - static_cast<double>(w)), 2.4);
    }
    return error;
}

std::vector<SlowChoice> slow_candidates(const std::vector<float>& row, int bits, bool symmetric) {
    float low = 0.0f;
    float high = 0.0f;
    for (const float w : row) {
        if (w < low) low = w;
        if (w > high) high = w;
    }
    std::vector<SlowChoice> all;
    for (int percent = 21; percent <= 100; ++percent) {
        const auto p = static_cast<float>(percent / 100.0);
        SlowChoice choice;
        const int steps = (1 << bits) - 1;
        if (symmetric) {
            const int top = steps / 2;
            choice.scale = std::max(std::max(-low, high), 1e-5f) * p / static_cast<float>(top);
            choice.error = slow_error(row, choice.scale, 0, -top - 1, top);
        } else {
            choice.scale = std::max(high * p - low * p, 1e-5f) / static_cast<float>(steps);
            choice.zero = static_cast<int>(std::rint(-low * p / choice.scale));
            choice.error = slow_error(row, choice.scale, choice.zero, 0, steps);
        }
        all.push_back(choice);
    }
    return all;
}

std::vector<double> random_importance(size_t n, uint32_t seed) {
    std::mt19937 engine(seed);
    std::normal_distribution<double> normal;
    std::vector<double> importance(n);
    for (double& h : importance) h = std::exp(2.0 * normal(engine));
    return importance;
}

// From the narrow end to the wide one, so that among equals the wide range stays.
SlowChoice slow_weighted_choice(const std::vector<float>& row, const std::vector<double>& h,
                                int bits, bool symmetric) {
    const int top = (1 << bits) - 1, bottom = symmetric ? -(1 << (bits - 1)) : 0;
    SlowChoice best{.error = std::numeric_limits<double>::infinity()};
    for (SlowChoice choice : slow_candidates(row, bits, symmetric)) {
        const int middle = choice.zero;
        for (int zero = middle - 1; zero <= middle + 1; ++zero) {
            if (symmetric ? zero != 0 : zero < 0 || zero > top) continue;
            choice.zero = zero;
            choice.error = 0.0;
            for (size_t i = 0; i < row.size(); ++i) {
                const int q = std::clamp(static_cast<int>(std::rint(row[i] / choice.scale)) + zero,
                                         bottom, bottom + top);
                choice.error += h[i] * std::pow((q - zero) * static_cast<double>(choice.scale) -
                                                    static_cast<double>(row[i]),
                                                2.0);
            }
            if (choice.error < best.error) best = choice;
        }
    }
    return best;
}

class EveryWidth : public testing::TestWithParam<std::tuple<int, bool>> {};

TEST_P(EveryWidth, SearchAgreesWithASlowOne) {
    const auto [bits, symmetric] = GetParam();
    for (uint32_t seed = 0; seed < 12; ++seed) {
        const std::vector<float> row = random_row(100 + 37 * seed, seed);
        const QuantizedMatrix q = quantize_row(row, rtn_format(bits, symmetric));
        const std::vector<SlowChoice> candidates = slow_candidates(row, bits, symmetric);
        double smallest = std::numeric_limits<double>::infinity();
        double chosen = -1.0;
        for (const SlowChoice& c : candidates) {
            smallest = std::min(smallest, c.error);
            if (c.scale == q.scale(0, 0) && c.zero == q.zero(0, 0)) chosen = c.error;
        }
        ASSERT_GE(chosen, 0.0) << "seed " << seed << ": no candidate has scale " << q.scale(0, 0);
        EXPECT_LE(chosen, smallest * (1.0 + 3e-6)) << "seed " << seed;
    }
}

TEST_P(EveryWidth, CodesAreTheNearestOnTheStoredGrid) {
    const auto [bits, symmetric] = GetParam();
    const std::vector<float> row = random_row(333, 99);
    const QuantizedMatrix q = quantize_row(row, rtn_format(bits, symmetric));
    const int bottom = symmetric ? -(1 << (bits - 1)) : 0;
    const int top = bottom + (1 << bits) - 1;
    const std::vector<int> codes = row_codes(q);
    for (size_t i = 0; i < row.size(); ++i) {
        const double ideal = std::rint(static_cast<double>(row[i] / q.scale(0, 0))) + q.zero(0, 0);
        EXPECT_EQ(codes[i], std::clamp(static_cast<int>(ideal), bottom, top)) << i;
    }
}

TEST_P(EveryWidth, SearchNeverLosesAgainstTheWholeRange) {
    const auto [bits, symmetric] = GetParam();
    const std::vector<float> row = random_row(512, 7);
    const GridFormat whole{.bits = bits, .symmetric = symmetric, .clip_search = false};
    GridFormat searched = whole;
    searched.clip_search = true;
    EXPECT_LE(power_error(row, choose_grid(row, searched), 64.0f),
              power_error(row, choose_grid(row, whole), 64.0f));
}

// A search written differently: every zero point of every share, in fp64.
TEST_P(EveryWidth, WeightedSearchAgreesWithASlowOne) {
    const auto [bits, symmetric] = GetParam();
    const GridFormat format{.bits = bits, .symmetric = symmetric};
    for (uint32_t seed = 0; seed < 12; ++seed) {
        const std::vector<float> row = random_row(100 + 37 * seed, seed);
        const std::vector<double> importance = random_importance(row.size(), seed);
        const Grid chosen = choose_grid(row, format, importance);
        const SlowChoice best = slow_weighted_choice(row, importance, bits, symmetric);
        EXPECT_EQ(chosen.scale, best.scale) << "seed " << seed;
        if (symmetric) continue;
        EXPECT_EQ(-chosen.low, static_cast<float>(best.zero)) << "seed " << seed;
    }
}

std::string width_name(const testing::TestParamInfo<std::tuple<int, bool>>& test) {
    const auto [bits, symmetric] = test.param;
    return fmt::format("W{}{}", bits, symmetric ? "symmetric" : "asymmetric");
}

INSTANTIATE_TEST_SUITE_P(Rtn, EveryWidth, testing::Combine(testing::Range(2, 9), testing::Bool()),
                         width_name);

TEST(Rtn, SearchEndsAtTwentyOnePercentOfTheRange) {
    std::vector<float> row(5000, 0.15f);  // a scale of 0.15 would be best
    row[17] = 1.0f;
    EXPECT_EQ(quantize_row(row, rtn_format(2, true)).scale(0, 0), 0.21f);
}

// ---- rows nobody trains

void expect_finite(const QuantizedMatrix& q, const std::string& what) {
    EXPECT_TRUE(std::isfinite(q.scale(0, 0)) && q.scale(0, 0) > 0.0f) << what;
    std::vector<float> values(q.cols);
    q.dequantize_row(0, values);
    for (const float value : values) EXPECT_TRUE(std::isfinite(value)) << what;
}

TEST(WeightedSearch, LooksAtNoWeightThatNothingReaches) {
    std::vector<float> row = random_row(200, 21);
    std::vector<double> importance(row.size(), 1.0);
    row[50] = 3.0f * *std::max_element(row.begin(), row.end());
    importance[50] = 0.0;
    std::vector<float> others = row;
    others[50] = 0.0f;
    const GridFormat format{.bits = 4};
    const Grid found = choose_grid(row, format, importance);
    EXPECT_LT(weighted_error(row, importance, found),
              1.2 * weighted_error(others, importance, choose_grid(others, format, importance)));
}

TEST(WeightedSearch, EveryVariantGivesTheSameBits) {
    const std::vector<float> row = random_row(127, 11);
    const std::vector<double> importance = random_importance(row.size(), 12);
    for (const Grid& grid : {Grid{0.01f, -8.0f, 7.0f}, Grid{0.003f, -5.0f, 10.0f}}) {
        std::vector<double> plain(row.size());
        weighted_variants().front().run(row, importance.data(), grid, plain.data());
        for (size_t i = 0; i < row.size(); ++i) {
            const double e = grid.scale * static_cast<double>(grid.round(row[i])) - row[i];
            EXPECT_DOUBLE_EQ(plain[i], importance[i] * e * e);
        }
        for (const WeightedVariant& variant : weighted_variants()) {
            std::vector<double> errors(row.size());
            variant.run(row, importance.data(), grid, errors.data());
            EXPECT_EQ(errors, plain) << variant.name;
        }
    }
}

TEST(WeightedSearch, StopsEarlyOnlyAboveTheLimit) {
    const std::vector<float> row = random_row(2000, 13);
    const std::vector<double> importance = random_importance(row.size(), 14);
    const Grid grid{0.01f, -8.0f, 7.0f};
    const double whole = weighted_error(row, importance, grid);
    double sum = 0.0;
    for (size_t i = 0; i < row.size(); ++i) {
        sum += importance[i] *
               std::pow(grid.scale * static_cast<double>(grid.round(row[i])) - row[i], 2);
    }
    EXPECT_NEAR(whole, sum, 1e-12 * sum);
    EXPECT_EQ(weighted_error(row, importance, grid, whole), whole);
    const double stopped = weighted_error(row, importance, grid, 0.3 * whole);
    EXPECT_GT(stopped, 0.3 * whole);
    EXPECT_LT(stopped, whole);
}

TEST(RtnExtremes, ZerosGiveTheFloorOrAUnitRange) {
    const std::vector<float> zeros(20, 0.0f);
    EXPECT_EQ(quantize_row(zeros, rtn_format(4, true)).scale(0, 0), 1e-5f / 7.0f);
    const QuantizedMatrix q = quantize_row(zeros, rtn_format(4, false));
    EXPECT_EQ(q.scale(0, 0), 2.0f / 15.0f);
    for (const int code : row_codes(q)) EXPECT_EQ(code, q.zero(0, 0));
}

TEST(RtnExtremes, AlwaysAFiniteResult) {
    const float huge = 1e38f;
    const float tiny = std::numeric_limits<float>::denorm_min();
    const std::vector<std::pair<std::string, std::vector<float>>> rows = {
        {"huge", {huge, -huge, 0.5f * huge, 0.0f}},
        {"huge of one sign", {huge, huge, huge}},
        {"subnormal", {tiny, -tiny, 3 * tiny}},
        {"constant", std::vector<float>(300, 0.25f)},
        {"negative constant", std::vector<float>(300, -3.0f)},
        {"one value", {0.7f}},
        {"one outlier", {1e-8f, 1e8f, -1e-8f}},
    };
    for (const auto& [name, row] : rows) {
        for (const int bits : {2, 4, 8}) {
            expect_finite(quantize_row(row, rtn_format(bits, true)), name);
            expect_finite(quantize_row(row, rtn_format(bits, false)), name);
        }
    }
}

TEST(RtnExtremes, AsymmetricRangeBeyondFloatStaysFinite) {
    const float largest = std::numeric_limits<float>::max();
    const QuantizedMatrix q = quantize_row({largest, -largest}, rtn_format(8, false, false));
    EXPECT_TRUE(std::isfinite(q.scale(0, 0)));
}

TEST(RtnExtremes, AConstantRowIsKeptAlmostExactly) {
    const std::vector<float> row(64, 0.3f);
    for (const bool symmetric : {true, false}) {
        const QuantizedMatrix q = quantize_row(row, rtn_format(4, symmetric));
        EXPECT_LT(relative_error({row, 1, 64}, q), 1e-6);
    }
}

// ---- groups and matrices

TEST(Rtn, GroupsHaveScalesOfTheirOwnInHalfPrecision) {
    std::vector<float> row = random_row(64, 3, 0.01f);
    for (int64_t i = 32; i < 64; ++i) row[i] *= 100.0f;
    WeightFormat format = rtn_format(4, true);
    format.group_size = 32;
    const QuantizedMatrix q = quantize_row(row, format);
    ASSERT_EQ(q.scales.dtype(), DType::F16);
    EXPECT_GT(q.scale(0, 1), 10.0f * q.scale(0, 0));
    const std::vector<int> codes = row_codes(q);
    for (int64_t i = 0; i < 64; ++i) {
        const double ideal = std::rint(static_cast<double>(row[i] / q.scale(0, i / 32)));
        EXPECT_EQ(codes[i], std::clamp(static_cast<int>(ideal), -8, 7)) << i;
    }
}

TEST(Rtn, AGroupScaleBeyondHalfPrecisionIsANamedError) {
    WeightFormat format = rtn_format(4, true, false);
    format.group_size = 2;
    try {
        quantize_row({1e9f, 0.0f}, format);
        FAIL() << "1e9 / 7 does not fit in an F16";
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::Numeric);
    }
}

TEST(Rtn, RowsDoNotSeeEachOther) {
    const std::vector<float> first = random_row(48, 1);
    const std::vector<float> second = random_row(48, 2);
    std::vector<float> both = first;
    both.insert(both.end(), second.begin(), second.end());
    const QuantizedMatrix q = quantize_rtn({both, 2, 48}, rtn_format(5, false));
    EXPECT_EQ(row_codes(q, 0), row_codes(quantize_row(first, rtn_format(5, false))));
    EXPECT_EQ(row_codes(q, 1), row_codes(quantize_row(second, rtn_format(5, false))));
}

TEST(Rtn, MoreBitsMeanASmallerRelativeError) {
    const std::vector<float> row = random_row(1000, 5);
    double last = 1.0;
    for (int bits = 2; bits <= 8; ++bits) {
        const double error =
            relative_error({row, 1, 1000}, quantize_row(row, rtn_format(bits, true)));
        EXPECT_LT(error, last) << bits;
        last = error;
    }
}

TEST(Quantizers, UnknownMethodNamesTheKnownOnes) {
    EXPECT_EQ(quantizer_named("rtn").name, "rtn");
    expect_error(ErrorCode::Usage, {"`weights.method` is magic, expected one of rtn, gptq"},
                 [] { quantizer_named("magic"); });
}

// ---- the fast error

TEST(PowerError, EveryVariantGivesTheSameBits) {
    const std::vector<float> row = random_row(127, 11);
    for (const Grid& grid : {Grid{0.01f, -8.0f, 7.0f}, Grid{0.003f, -5.0f, 10.0f}}) {
        std::vector<float> plain(row.size());
        power_variants().front().run(row, grid, 32.0f, plain.data());
        for (const PowerVariant& variant : power_variants()) {
            std::vector<float> errors(row.size());
            variant.run(row, grid, 32.0f, errors.data());
            EXPECT_EQ(errors, plain) << variant.name;
        }
    }
}

TEST(PowerError, PowersAreRightToOnePartInAMillion) {
    const std::vector<float> row = random_row(4000, 12);
    const Grid grid{0.013f, -8.0f, 7.0f};
    std::vector<float> errors(row.size());
    power_variants().front().run(row, grid, 64.0f, errors.data());
    for (size_t i = 0; i < row.size(); ++i) {
        const auto e = static_cast<double>((grid.scale * grid.round(row[i]) - row[i]) * 64.0f);
        const double expected = std::pow(std::fabs(e), 2.4);
        EXPECT_NEAR(errors[i], expected, 1e-6 * expected + 1e-30) << row[i];
    }
}

TEST(PowerError, NothingOffTheGridIsZero) {
    const std::vector<float> row = {0.0f, 1.0f, -2.0f, 7.0f};
    EXPECT_EQ(power_error(row, {1.0f, -8.0f, 7.0f}, 1.0f), 0.0);
}

TEST(PowerError, StopsEarlyOnlyAboveTheLimit) {
    const std::vector<float> row = random_row(2000, 13);
    const Grid grid{0.01f, -8.0f, 7.0f};
    const double whole = power_error(row, grid, 64.0f);
    EXPECT_EQ(power_error(row, grid, 64.0f, whole), whole);
    const double stopped = power_error(row, grid, 64.0f, 0.3 * whole);
    EXPECT_GT(stopped, 0.3 * whole);
    EXPECT_LT(stopped, whole);
}

}  // namespace
}  // namespace quarot::quantize
