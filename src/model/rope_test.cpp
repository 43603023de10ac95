#include "model/rope.h"

#include <gtest/gtest.h>

#include <cmath>
#include <complex>
#include <numbers>

namespace quarot::model {

namespace {

constexpr RopeConfig kLlama31 = {.type = RopeType::Llama3,
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
    const auto frequencies = rope_frequencies({.theta = 10000.0}, 8);
    ASSERT_EQ(frequencies.size(), 4u);
    EXPECT_DOUBLE_EQ(frequencies[0], 1.0);
    EXPECT_NEAR(frequencies[1], 0.1, 1e-15);
    EXPECT_NEAR(frequencies[2], 0.01, 1e-16);
    EXPECT_NEAR(frequencies[3], 0.001, 1e-17);
}

TEST(RopeFrequencies, AreDividedByTheLinearFactor) {
    const auto plain = rope_frequencies({.theta = 10000.0}, 64);
    const auto scaled =
        rope_frequencies({.type = RopeType::Linear, .theta = 10000.0, .factor = 2.5}, 64);
    for (size_t i = 0; i < plain.size(); ++i) EXPECT_NEAR(scaled[i] * 2.5, plain[i], 1e-15);
}

TEST(RopeFrequencies, FollowLlama3sThreeBands) {
    const auto frequencies = rope_frequencies(kLlama31, 128);
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
    const auto frequencies = rope_frequencies({.theta = 10000.0}, head_dim);
    const RopeAngles angles = rope_angles({.theta = 10000.0}, head_dim, 0, n_positions);
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

}  // namespace quarot::model
