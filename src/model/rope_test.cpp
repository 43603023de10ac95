#include "model/rope.h"

#include <gtest/gtest.h>

#include <cmath>
#include <complex>
#include <numbers>

namespace quarot::model {

namespace {

const RopeConfig kLlama31 = {.type = RopeType::Llama3,
                             .theta = 500000.0,
                             .factor = 8.0,
                             .low_freq_factor = 1.0,
                             .high_freq_factor = 4.0,
                             .original_max_positions = 8192};

// The published rule in terms of wavelengths, written apart from rope.cpp.
double expected_llama3(double theta, int64_t pair, int64_t head_dim, double factor, double low,
                       double high, double old_context) {
    const double wavelength =
        2.0 * std::numbers::pi *
        std::exp(std::log(theta) * 2.0 * static_cast<double>(pair) / static_cast<double>(head_dim));
    const double frequency = 2.0 * std::numbers::pi / wavelength;
    if (wavelength < old_context / high) return frequency;
    if (wavelength > old_context / low) return frequency / factor;
    const double smooth = (old_context / wavelength - low) / (high - low);
    return ((1.0 - smooth) / factor + smooth) * frequency;
}

}  // namespace

TEST(RopeFrequencies, AreAGeometricSeriesByDefault) {
    const auto frequencies = rope_frequencies({.theta = 10000.0}, 8, 1);
    ASSERT_EQ(frequencies.size(), 4u);
    EXPECT_DOUBLE_EQ(frequencies[0], 1.0);
    EXPECT_NEAR(frequencies[1], 0.1, 1e-15);
    EXPECT_NEAR(frequencies[2], 0.01, 1e-16);
    EXPECT_NEAR(frequencies[3], 0.001, 1e-17);
}

TEST(RopeFrequencies, AreDividedByTheLinearFactor) {
    const auto plain = rope_frequencies({.theta = 10000.0}, 64, 1);
    const auto scaled =
        rope_frequencies({.type = RopeType::Linear, .theta = 10000.0, .factor = 2.5}, 64, 1);
    for (size_t i = 0; i < plain.size(); ++i) EXPECT_NEAR(scaled[i] * 2.5, plain[i], 1e-15);
}

TEST(RopeFrequencies, OfTheTypesThatDependOnLengthChangeBeyondTheOriginalContext) {
    const RopeConfig dynamic = {
        .type = RopeType::Dynamic, .factor = 2.0, .original_max_positions = 100};
    const auto plain = rope_frequencies({}, 8, 100);
    EXPECT_TRUE(depends_on_length(dynamic));
    EXPECT_EQ(rope_frequencies(dynamic, 8, 100), plain);
    EXPECT_EQ(rope_frequencies(dynamic, 8, 1), plain);
    const auto longer = rope_frequencies(dynamic, 8, 150);  // theta (2 * 1.5 - 1)^(8/6)
    for (size_t i = 0; i < plain.size(); ++i) {
        EXPECT_NEAR(longer[i] / plain[i], std::pow(2.0, -static_cast<double>(i) / 3.0), 1e-14);
    }
    const RopeConfig longrope = {.type = RopeType::LongRope,
                                 .original_max_positions = 100,
                                 .short_factors = {1, 1, 2, 2},
                                 .long_factors = {4, 8, 8, 8}};
    EXPECT_TRUE(depends_on_length(longrope));
    EXPECT_EQ(rope_frequencies(longrope, 8, 100)[2], plain[2] / 2.0);
    EXPECT_EQ(rope_frequencies(longrope, 8, 101)[2], plain[2] / 8.0);
    EXPECT_FALSE(depends_on_length(kLlama31));
}

TEST(RopeFrequencies, OfPartialRotationRunOverWhatTurns) {
    const auto whole = rope_frequencies({}, 4, 1);
    EXPECT_EQ(rope_frequencies({.rotary_dim = 4}, 8, 1),
              (std::vector<double>{whole[0], whole[1], 0.0, 0.0}));
}

TEST(RopeFrequencies, FollowLlama3sThreeBands) {
    const auto frequencies = rope_frequencies(kLlama31, 128, 131072);
    int kept = 0, blended = 0, stretched = 0;
    for (size_t i = 0; i < frequencies.size(); ++i) {
        const auto pair = static_cast<int64_t>(i);
        const double expected = expected_llama3(500000.0, pair, 128, 8.0, 1.0, 4.0, 8192.0);
        EXPECT_NEAR(frequencies[i] / expected, 1.0, 1e-12) << "pair " << i;
        const double plain = std::pow(500000.0, -static_cast<double>(i) / 64.0);
        if (frequencies[i] > 0.999999 * plain) {
            ++kept;
        } else if (frequencies[i] < 1.000001 * plain / 8.0) {
            ++stretched;
        } else {
            ++blended;
        }
    }
    EXPECT_EQ(kept, 29);
    EXPECT_EQ(blended, 6);
    EXPECT_EQ(stretched, 29);
}

TEST(RopeAngles, HoldCosAndSinOfPositionTimesFrequency) {
    const int64_t head_dim = 16, n_positions = 500;
    const auto frequencies = rope_frequencies({.theta = 10000.0}, head_dim, n_positions);
    const RopeAngles angles = rope_angles(frequencies, 1.0, 0, n_positions);
    ASSERT_EQ(angles.cos.size(), 500u * 8u);
    ASSERT_EQ(angles.sin.size(), 500u * 8u);
    for (size_t i = 0; i < 8; ++i) {
        // Repeated turning by one step: another way to the same angle.
        const std::complex<double> turn = std::polar(1.0, frequencies[i]);
        std::complex<double> at = 1.0;
        for (size_t position = 0; position < 500; ++position) {
            EXPECT_NEAR(angles.cos[position * 8 + i], at.real(), 1e-7);
            EXPECT_NEAR(angles.sin[position * 8 + i], at.imag(), 1e-7);
            at *= turn;
        }
    }
}

// Far out an angle rounded to fp32 would be off by a hundredth.
TEST(RopeAngles, AreExactAtEveryPosition) {
    const auto frequencies = rope_frequencies({.theta = 500000.0, .rotary_dim = 64}, 96, 1);
    const double amplitude = 1.19;
    for (const int64_t position : {0, 1, 4095, 131071}) {
        const RopeAngles angles = rope_angles(frequencies, amplitude, position, 1);
        for (size_t i = 0; i < 48; ++i) {
            const long double angle =
                static_cast<long double>(position) * static_cast<long double>(frequencies[i]);
            const double radius = i < 32 ? amplitude : 1.0;
            EXPECT_NEAR(angles.cos[i], radius * static_cast<double>(std::cos(angle)), 1e-6);
            EXPECT_NEAR(angles.sin[i], radius * static_cast<double>(std::sin(angle)), 1e-6);
        }
    }
}

}  // namespace quarot::model
