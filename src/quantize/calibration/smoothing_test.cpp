// What smoothing does to a whole folder: nothing by itself, and what it should to its scales.
#include "quantize/calibration/smoothing.h"

#include <gtest/gtest.h>

#include "quantize/folder_fixture_for_tests.h"

namespace quarot::quantize {
namespace {

using Smoothed = FolderTest;

TokenWindows windows() {
    TokenWindows all;
    for (int w = 0; w < 3; ++w) {
        auto& window = all.emplace_back();
        for (int i = 0; i < 40; ++i) window.push_back((w * 91 + i * i * 7 + 3 * i) % 250);
    }
    return all;
}

QuantizeOptions smoothed(double alpha, int n_threads = 1) {
    QuantizeOptions options = with_recipe("smoothquant", n_threads);
    options.recipe.smoothing.alpha = alpha;
    options.calibration = windows();
    return options;
}

TEST(SmoothingScales, FollowTheFormula) {
    const std::vector<float> x = {16.0f, 1.0f}, w = {4.0f, 0.25f};
    const auto scales = smoothing_scales(x, w, 0.5);
    EXPECT_DOUBLE_EQ(scales[0], 2.0);
    EXPECT_DOUBLE_EQ(scales[1], 2.0);
    EXPECT_DOUBLE_EQ(smoothing_scales(x, w, 1.0)[0], 16.0);
    EXPECT_DOUBLE_EQ(smoothing_scales(x, w, 0.0)[0], 0.25);
}

TEST(SmoothingScales, AreOneWhereAColumnIsZero) {
    const std::vector<float> x = {0.0f, 3.0f}, w = {2.0f, 0.0f};
    EXPECT_EQ(smoothing_scales(x, w, 0.5), (std::vector<double>{1.0, 1.0}));
}

TEST_F(Smoothed, WithAllScalesOneEveryTensorIsThatOfRtn) {
    write({.attention_bias = true});
    quantize_model(in, out, with_recipe("rtn"));
    QuantizeOptions options = smoothed(0.5);
    const std::vector<double> ones(32, 1.0);
    options.smoothing = Smoothing{.layers = {{ones, ones}, {ones, ones}}};
    quantize_model(in, dir / "ones", options);
    EXPECT_TRUE(files_of(dir / "ones").at("model.safetensors") ==
                files_of(out).at("model.safetensors"));
}

TEST_F(Smoothed, MovesScalesFromGainsIntoColumns) {
    write({});
    QuantizeOptions options = smoothed(0.5);
    options.recipe.weights.bits = 16;
    std::vector<double> scales(32);
    for (size_t i = 0; i < scales.size(); ++i) scales[i] = 0.3 + 0.1 * static_cast<double>(i);
    const std::vector<double> ones(32, 1.0);
    options.smoothing = Smoothing{.layers = {{ones, scales}, {ones, ones}}};
    quantize_model(in, out, options);
    const std::string layer = "model.layers.0.";
    const auto gain = tensor_of(in, layer + "post_attention_layernorm.weight");
    const auto new_gain = tensor_of(out, layer + "post_attention_layernorm.weight");
    const auto weight = tensor_of(in, layer + "mlp.up_proj.weight");
    const auto new_weight = tensor_of(out, layer + "mlp.up_proj.weight");
    for (size_t i = 0; i < gain.size(); ++i) {
        EXPECT_EQ(new_gain[i], static_cast<float>(gain[i] / scales[i])) << i;
    }
    for (size_t i = 0; i < weight.size(); ++i) {
        EXPECT_EQ(new_weight[i], static_cast<float>(weight[i] * scales[i % 32])) << i;
    }
    const std::string down = layer + "mlp.down_proj.weight";
    EXPECT_EQ(tensor_of(in, down), tensor_of(out, down));
}

TEST_F(Smoothed, ASearchedAlphaIsOfTheGridAndStandsInTheFolder) {
    write({});
    quantize_model(in, out, smoothed(0.0));
    const double alpha = folder::SourceModel::open(out).recipe().smoothing.alpha;
    EXPECT_GE(alpha, 0.1);
    EXPECT_LE(alpha, 0.9);
    quantize_model(in, dir / "fixed", smoothed(alpha));
    EXPECT_TRUE(files_of(dir / "fixed").at("model.safetensors") ==
                files_of(out).at("model.safetensors"));
}

TEST_F(Smoothed, ThreadsChangeNoByte) {
    write({.dtype = DType::BF16});
    quantize_model(in, out, smoothed(0.0, 1));
    quantize_model(in, dir / "three", smoothed(0.0, 3));
    EXPECT_TRUE(files_of(out) == files_of(dir / "three"));
}

TEST_F(Smoothed, WithoutTextIsAUsageError) {
    write({});
    QuantizeOptions options = smoothed(0.0);
    options.calibration.clear();
    try {
        quantize_model(in, out, options);
        FAIL() << "no error";
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::Usage);
        EXPECT_NE(std::string(error.what()).find("`calibration_text`"), std::string::npos)
            << error.what();
    }
    EXPECT_TRUE(left_behind().empty());
}

}  // namespace
}  // namespace quarot::quantize
