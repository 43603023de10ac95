// Is the noise that of the format which a model runs with?
#include "stats/rounding_noise.h"

#include <gtest/gtest.h>

#include "core/expect_error.h"

namespace quarot::stats {
namespace {

// Three tokens of two vectors of 8, from -scale to scale.
std::vector<float> rows_of(float scale) {
    std::vector<float> values;
    for (int i = 0; i < 48; ++i) {
        values.push_back(scale * static_cast<float>((i * i * 7 + 3 * i) % 41 - 20) / 20.0f);
    }
    return values;
}

TEST(RoundingNoise, FirstPositionsHaveBitsOfTheirOwn) {
    RoundingNoise noise(1);
    const std::vector<float> values = rows_of(1.0f);
    const auto of = [&](const kernels::ActivationFormat& format) {
        return noise.of(values, 16, {16, format});
    };
    const auto first = of({.bits = 3, .clip = 0.9f, .first_positions = 1});
    ASSERT_EQ(first.size(), 3u);
    EXPECT_EQ(first[0], of({.bits = 8})[0]);
    EXPECT_LT(first[0], 0.01 * of({.bits = 3, .clip = 0.9f})[0]);
    EXPECT_EQ(first[1], of({.bits = 3, .clip = 0.9f})[1]);
}

TEST(RoundingNoise, TheCacheHasItsScalesType) {
    RoundingNoise noise(1);
    const auto of = [&](float scale, DType scales) {
        const kernels::KvFormat format = {
            .bits = 8, .range_includes_zero = false, .scales = scales};
        return noise.of(rows_of(scale), 16, {8, format})[0];
    };
    EXPECT_NE(of(1.0f, DType::F16), of(1.0f, DType::F32));
    EXPECT_NEAR(of(1.0f, DType::F16), of(1.0f, DType::F32), 1e-4);
    EXPECT_GT(of(1e-4f, DType::F16), 100.0 * of(1e-4f, DType::F32))
        << "a scale is at least the smallest normal number";
    expect_error(ErrorCode::Numeric, {"scales of F16 do not hold"}, [&] { of(1e9f, DType::F16); });
}

TEST(RoundingNoise, IsNoneWhereNothingIsQuantized) {
    RoundingNoise noise(1);
    EXPECT_TRUE(noise.of(rows_of(1.0f), 16, {16, kernels::ActivationFormat{}}).empty());
    EXPECT_TRUE(noise.of(rows_of(1.0f), 16, {8, kernels::KvFormat{}}).empty());
}

}  // namespace
}  // namespace quarot::stats
