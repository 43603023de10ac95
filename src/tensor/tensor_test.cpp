#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "tensor/affine.h"
#include "tensor/bit_pack.h"
#include "tensor/float_convert.h"
#include "tensor/quantized_matrix.h"

namespace quarot {

TEST(FloatConvert, EveryHalfSurvivesTheRoundTrip) {
    for (uint32_t bits = 0; bits < 0x10000; ++bits) {
        const auto half = static_cast<uint16_t>(bits);
        const bool f16_nan = (half & 0x7c00u) == 0x7c00u && (half & 0x3ffu) != 0;
        const bool bf16_nan = (half & 0x7f80u) == 0x7f80u && (half & 0x7fu) != 0;
        if (!f16_nan) {
            EXPECT_EQ(f32_to_f16(f16_to_f32(half)), half);
        }
        if (!bf16_nan) {
            EXPECT_EQ(f32_to_bf16(bf16_to_f32(half)), half);
        }
    }
}

TEST(FloatConvert, RoundsToNearestEven) {
    EXPECT_EQ(f32_to_f16(1.0f + 0x1p-11f), 0x3c00);
    EXPECT_EQ(f32_to_f16(1.0f + 3 * 0x1p-11f), 0x3c02);
    EXPECT_EQ(f32_to_f16(65519.0f), 0x7bff);
    EXPECT_EQ(f32_to_f16(65520.0f), 0x7c00);
    EXPECT_EQ(f32_to_f16(0x1p-25f), 0x0000) << "half of the smallest subnormal";
    EXPECT_EQ(f32_to_f16(3 * 0x1p-25f), 0x0002);
    EXPECT_EQ(f32_to_bf16(1.0f + 0x1p-8f), 0x3f80);
    EXPECT_EQ(f32_to_bf16(1.0f + 3 * 0x1p-8f), 0x3f82);
    EXPECT_TRUE(std::isnan(bf16_to_f32(f32_to_bf16(NAN))));
}

TEST(BitPack, UnpackInvertsPackAtEveryWidthAndLength) {
    std::mt19937 random(1);
    for (int bits = 2; bits <= 8; ++bits) {
        for (const int n : {1, 7, 8, 31, 32, 33, 172, 576}) {
            std::vector<uint8_t> values(static_cast<size_t>(n)), back(values.size());
            for (auto& value : values) value = static_cast<uint8_t>(random() & ((1u << bits) - 1u));
            std::vector<uint32_t> words(static_cast<size_t>(packed_words(n, bits)));
            pack_bits(values, bits, words);
            unpack_bits(words, bits, back);
            EXPECT_EQ(values, back) << "bits " << bits << " n " << n;
        }
    }
}

TEST(BitPack, FirstElementStandsInTheLowestBits) {
    const std::vector<uint8_t> values = {1, 2, 3, 4, 5, 6, 7, 8};
    std::vector<uint32_t> words(1);
    pack_bits(values, 4, words);
    EXPECT_EQ(words[0], 0x87654321u);
}

TEST(Affine, SymmetricActivationVector) {
    const std::vector<float> x = {.125f, -.5f, 1, 2, -3, .75f, .0625f, -1.25f};
    const Affine affine = symmetric_affine(3.0f * 0.9f, 4);
    EXPECT_FLOAT_EQ(affine.scale, .385714263f);
    const std::vector<int> expected = {0, -1, 3, 5, -8, 2, 0, -3};
    for (size_t i = 0; i < x.size(); ++i) {
        EXPECT_EQ(quantize_symmetric(x[i], affine.scale, 4), expected[i]);
    }
}

TEST(Affine, AsymmetricKeyVector) {
    const std::vector<float> x = {.125f, -.5f, 1, 2, -3, .75f, .0625f, -1.25f};
    const Affine affine = asymmetric_affine(-3.0f * 0.95f, 2.0f * 0.95f, 4);
    EXPECT_FLOAT_EQ(affine.scale, .316666663f);
    EXPECT_EQ(affine.zero, 9);
    const std::vector<int> expected = {9, 7, 12, 15, 0, 11, 9, 5};
    for (size_t i = 0; i < x.size(); ++i) {
        EXPECT_EQ(quantize_asymmetric(x[i], affine, 4), expected[i]);
    }
}

TEST(Affine, TheZeroPointBelongsToTheScaleAsHalvesHoldIt) {
    const Affine single = asymmetric_affine(3000.0f, 3016.0f, 4);
    const Affine half = asymmetric_affine(3000.0f, 3016.0f, 4, DType::F16);
    EXPECT_EQ(half.scale, f16_to_f32(f32_to_f16(single.scale)));
    EXPECT_NE(half.scale, single.scale);
    EXPECT_EQ(single.zero, -2812);
    EXPECT_EQ(half.zero, -2813);
}

TEST(Affine, HalfScalesHaveASmallestAndALargest) {
    EXPECT_EQ(asymmetric_affine(-1e-6f, 1e-6f, 4, DType::F16).scale, 0x1p-14f);
    EXPECT_TRUE(std::isfinite(asymmetric_affine(0.0f, 15.0f * 65504.0f, 4, DType::F16).scale));
    EXPECT_TRUE(std::isinf(asymmetric_affine(0.0f, 15.0f * 65536.0f, 4, DType::F16).scale));
    const Affine far = asymmetric_affine(32000.0f, 32000.5f, 4, DType::F16);
    EXPECT_GE(far.zero, -32768);
}

TEST(Affine, DegenerateRangesStayUsable) {
    EXPECT_EQ(symmetric_affine(0.0f, 4).scale, 1.0f);
    const Affine zeros = asymmetric_affine(0.0f, 0.0f, 4);
    EXPECT_EQ(quantize_asymmetric(0.0f, zeros, 4), zeros.zero);
    const Affine constant = asymmetric_affine(5.0f, 5.0f, 4);
    EXPECT_NEAR(constant.scale * static_cast<float>(15 - constant.zero), 5.0f, 1e-6f);
    const Affine narrow = asymmetric_affine(100.0f, 100.001f, 4);
    EXPECT_GE(narrow.zero, -32768);
    const int q = quantize_asymmetric(100.0f, narrow, 4);
    EXPECT_NEAR(narrow.scale * static_cast<float>(q - narrow.zero), 100.0f, 0.01f);
}

TEST(QuantizedMatrix, RowsReadBackAsPacked) {
    for (const bool symmetric : {true, false}) {
        auto m = make_quantized_matrix(2, 6, 3, 3, symmetric);
        const std::vector<uint8_t> row = {0, 1, 2, 5, 6, 7};
        for (int64_t g = 0; g < 4; ++g) m.scales.as<uint16_t>()[g] = f32_to_f16(0.5f);
        if (!symmetric) {
            for (int64_t g = 0; g < 4; ++g) m.zero_points.as<uint8_t>()[g] = 2;
        }
        m.pack_row(1, row);
        std::vector<float> values(6);
        m.dequantize_row(1, values);
        const int shift = symmetric ? 4 : 2;
        for (size_t i = 0; i < 6; ++i)
            EXPECT_EQ(values[i], 0.5f * static_cast<float>(row[i] - shift));
    }
}

}  // namespace quarot
