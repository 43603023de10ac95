// Are clip ratios those that outputs suffer least from, stored, resumed and run?
#include "quantize/calibration/activation_clip.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <limits>
#include <random>

#include "core/expect_error.h"
#include "folder/load_weights.h"
#include "kernels/backend.h"
#include "quantize/file_limit_for_tests.h"
#include "quantize/folder_fixture_for_tests.h"
#include "quantize/quantized_tensors.h"

namespace quarot::quantize {
namespace {

using model::InputSite;
using model::LinearRole;

class ActivationClipTest : public testing::Test {
  protected:
    // Of Gaussian rows, the first column being so many times as large, read by a linear whose
    // weights are Gaussian but for that column's.
    float best(const kernels::ActivationFormat& format, float large = 1.0f,
               float weight_of_large = 1.0f) {
        constexpr int64_t kRows = 64, kCols = 1024, kOut = 16;
        std::mt19937 random(5);
        std::normal_distribution<float> normal;
        std::vector<float> x(kRows * kCols);
        for (float& value : x) value = normal(random);
        for (size_t row = 0; row < kRows; ++row) x[row * kCols] *= large;
        auto weight = std::make_shared<Tensor>(DType::F32, Shape{kOut, kCols});
        for (int64_t i = 0; i < kOut * kCols; ++i) {
            weight->as<float>()[i] = i % kCols == 0 ? weight_of_large : normal(random);
        }
        std::vector<std::unique_ptr<kernels::Linear>> linears;
        linears.push_back(backend_->prepare_linear({.matrix = std::shared_ptr<const Tensor>(weight),
                                                    .bias = {},
                                                    .activation_group = format.group_size}));
        ActivationClip clip(std::move(linears), format, *backend_);
        clip.add({x.data(), DType::F32, kRows, kCols, kCols});
        return clip.best();
    }

    std::unique_ptr<kernels::Backend> backend_ = kernels::make_backend("cpu", {.n_threads = 2});
};

TEST_F(ActivationClipTest, IsLowForRowsAndHighForSmallGroupsAndManyBits) {
    EXPECT_LE(best({.bits = 4}), 0.75f);
    EXPECT_GE(
        best({.bits = 4, .group_size = 32, .symmetric = false, .zero = kernels::ZeroPoint::Real}),
        0.95f);
    EXPECT_EQ(best({.bits = 8}), 1.0f);
}

TEST_F(ActivationClipTest, LooksAtOutputsAndNotAtInputs) {
    EXPECT_EQ(best({.bits = 4}, 20.0f, 0.0f), 0.6f) << "nobody reads what is clipped";
    EXPECT_EQ(best({.bits = 4}, 20.0f, 10.0f), 1.0f);
}

Recipe searched(const std::string& method) {
    Recipe recipe = named_recipe("quarot");
    recipe.weights.method = method;
    recipe.weights.group_size = recipe.activations.group_size = 16;
    recipe.clip_search = true;
    recipe.calibration.activations = CalibrationActivations::Quantized;
    return recipe;
}

QuantizeOptions with_text(const Recipe& recipe, int n_threads = 2) {
    QuantizeOptions options = with_recipe(recipe, n_threads);
    for (int w = 0; w < 3; ++w) {
        auto& window = options.calibration.emplace_back();
        for (int i = 0; i < 40; ++i) window.push_back((w * 91 + i * i * 7 + 3 * i) % 250);
    }
    return options;
}

using ClipSearchTest = FolderTest;

model::Weights load(const std::string& folder, const SettingChanges& changes,
                    kernels::Backend& backend) {
    return folder::load_weights(folder::SourceModel::open(folder), changes, 64, backend);
}

TEST_F(ClipSearchTest, EveryPlaceRunsWithTheRatioThatTheFolderHolds) {
    write({});
    const QuantizeReport report = quantize_model(in, out, with_text(searched("gptq")));
    EXPECT_EQ(report.bits_per_weight, folder::SourceModel::open(out).bits_per_weight());
    const auto backend = kernels::make_backend("cpu", {.n_threads = 1});
    const model::Weights weights = load(out, {}, *backend);
    for (size_t layer = 0; layer < weights.layers.size(); ++layer) {
        const std::string stem = fmt::format("model.layers.{}.", layer);
        const std::pair<LinearRole, std::string> places[] = {{LinearRole::K, "self_attn.q_proj"},
                                                             {LinearRole::O, "self_attn.o_proj"},
                                                             {LinearRole::Up, "mlp.gate_proj"},
                                                             {LinearRole::Down, "mlp.down_proj"}};
        for (const auto& [role, name] : places) {
            const float clip = tensor_of(out, stem + name + ".input_clip")[0];
            EXPECT_GE(clip, 0.6f);
            EXPECT_EQ(weights.activation_format(static_cast<int64_t>(layer), role).clip, clip);
        }
    }
    ASSERT_TRUE(report.layers.front().input_clip.has_value());
    EXPECT_FALSE(report.layers[1].input_clip.has_value()) << "k_proj reads what q_proj does";
    const model::Weights other = load(out, {{"activations.clip", 0.5}}, *backend);
    EXPECT_EQ(other.activation_format(0, LinearRole::Q).clip, 0.5f);
}

TEST_F(ClipSearchTest, IsRefusedWhereThereIsNoneOrNoText) {
    write({});
    expect_error(ErrorCode::Usage, {"finds clip ratios of activations on a text"},
                 [&] { quantize_model(in, out, with_recipe(searched("rtn"))); });
    quantize_model(in, out, with_recipe("quarot-rtn"));
    const auto backend = kernels::make_backend("cpu", {.n_threads = 1});
    expect_error(ErrorCode::Usage, {"was made without clip ratios by layer"}, [&] {
        load(out, {{"activations.clip_search", true}}, *backend);
    });
}

TEST_F(ClipSearchTest, AResumedJobGivesTheSameBytes) {
    write({.n_layers = 3, .vocab = 4096});
    const std::string resumed = dir / "resumed", whole = dir / "whole";
    for (const std::string method : {"gptq", "rtn"}) {
        QuantizeOptions options = with_text(searched(method));
        options.overwrite = true;
        quantize_model(in, whole, options);
        {
            const FileLimit limit(payload_bytes(whole + "/model.safetensors"));
            EXPECT_THROW(quantize_model(in, resumed, options), Error);
        }
        ASSERT_TRUE(std::filesystem::remove(resumed + ".work/layer-00002.safetensors"));
        options.resume = true;
        quantize_model(in, resumed, options);
        EXPECT_TRUE(files_of(resumed) == files_of(whole)) << method;
    }
}

TEST(InputClip, ThatIsNoRatioIsCorrupt) {
    for (const float value : {0.0f, -0.5f, 1.5f, std::numeric_limits<float>::quiet_NaN()}) {
        std::vector<NamedTensor> tensors;
        tensors.push_back({"q.input_clip", Tensor(DType::F32, {1})});
        *tensors.back().tensor.as<float>() = value;
        expect_error(ErrorCode::Corrupt, {"q.input_clip", "expected a ratio above 0"},
                     [&] { input_clip_from(tensors, "q"); });
    }
}

}  // namespace
}  // namespace quarot::quantize
