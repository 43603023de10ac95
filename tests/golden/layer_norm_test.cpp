// Models with LayerNorm, learned positions and parallel blocks: does each mistake that their
// forward pass or their rotation invites show, and does calibration pass through them?
#include <array>
#include <cmath>
#include <filesystem>
#include <functional>

#include "folder/source_model.h"
#include "golden/golden_support.h"
#include "model/key_bias.h"
#include "quantize/quantize_model.h"
#include "rotate/rotation.h"
#include "support/checkout.h"
#include "support/temp_dir.h"

namespace quarot::test {

namespace {

using model::LinearId;
using model::LinearRole;
using model::NormRole;

constexpr double kRelativeLimit = 2e-5;  // of the largest logit
constexpr double kBroken = 1e-3;         // a planted mistake must show at least this

std::string folder_of(const std::string& family) {
    return in_checkout("tests/golden/families/" + family);
}

std::vector<int32_t> test_ids() {
    std::vector<int32_t> ids;
    for (int32_t i = 0; i < 40; ++i) ids.push_back((i * i * 13 + 5 * i + 1) % 90);
    return ids;
}

std::vector<float> logits_of(const std::string& folder,
                             const std::function<void(model::Weights&)>& mistake = {}) {
    LoadedModel model = load(folder, {.context = 64});
    if (mistake) mistake(*model.weights);
    return all_logits(model, test_ids());
}

// A rotated model, the original's logits, and the difference that another tensor makes.
class LayerNormTeeth : public testing::TestWithParam<std::string> {
  protected:
    LayerNormTeeth() {
        quantize::quantize_model(folder_of(GetParam()), dir_ / "rotated",
                                 {.recipe = rotated_recipe(), .n_threads = 2});
    }
    model::ModelConfig config() const { return source_.config(); }
    rotate::Rotation rotation() const {
        return rotate::make_rotation(rotated_recipe().rotation, config());
    }
    std::vector<double> bias_of(const LinearId& id) const {
        const std::vector<float> stored = source_.bias(id);
        return {stored.begin(), stored.end()};
    }
    double difference_with(const std::string& tensor, const std::vector<double>& values) {
        replace_tensor(dir_ / "rotated", dir_ / "mistaken", tensor, {values.begin(), values.end()});
        return relative_difference(logits_of(folder_of(GetParam())), logits_of(dir_ / "mistaken"));
    }

    folder::SourceModel source_ = folder::SourceModel::open(folder_of(GetParam()));
    TempDir dir_;
};

INSTANTIATE_TEST_SUITE_P(Families, LayerNormTeeth,
                         testing::Values("opt", "gpt_neox", "starcoder2", "stablelm_parallel"),
                         [](const auto& test) { return test.param; });

}  // namespace

TEST_P(LayerNormTeeth, NoMistakeNoDifference) {
    EXPECT_LE(relative_difference(logits_of(folder_of(GetParam())), logits_of(dir_ / "rotated")),
              kRelativeLimit);
}

TEST_P(LayerNormTeeth, WhatIsLeftIsRmsNormAndBiasesOfReaders) {
    const auto rotated = folder::SourceModel::open(dir_ / "rotated");
    EXPECT_EQ(rotated.config().norm, model::NormKind::Rms);
    EXPECT_FALSE(rotated.config().tied_embeddings);
    EXPECT_FALSE(rotated.checkpoint().contains("model.norm.bias"));
    for (const LinearRole role : {LinearRole::Q, LinearRole::Up, LinearRole::LmHead}) {
        EXPECT_TRUE(has_bias(role, rotated.config())) << name_of(role);
        EXPECT_EQ(std::ssize(rotated.bias({role})), out_features(role, rotated.config()));
    }
    const Tensor rows = rotated.dense({LinearRole::Embedding});
    // What R1 makes of a vector without a mean has no part along what it makes of ones.
    std::vector<double> ones(static_cast<size_t>(config().hidden), 1.0);
    rotate::rotate_input(rotation(), model::Basis::Residual, config(), {}, ones, 1);
    for (int64_t row = 0; row < 5; ++row) {
        double along = 0.0;
        for (size_t c = 0; c < ones.size(); ++c) {
            along += ones[c] * rows.as<float>()[row * config().hidden + static_cast<int64_t>(c)];
        }
        EXPECT_LT(std::fabs(along), 1e-5) << row;
    }
}

TEST_P(LayerNormTeeth, AMeanLeftInTheEmbeddingShows) {
    const Tensor rows = source_.dense_rows({LinearRole::Embedding}, 0, config().vocab);
    std::vector<double> table(rows.as<float>(),
                              rows.as<float>() + config().vocab * config().hidden);
    rotate::rotate_input(rotation(), model::Basis::Residual, config(), {}, table, config().vocab);
    EXPECT_GE(difference_with("model.embed_tokens.weight", table), kBroken);
}

TEST_P(LayerNormTeeth, AMeanLeftInDownShows) {
    const LinearId id = {LinearRole::Down, 0};
    const int64_t rows = config().hidden, cols = config().ffn;
    const Tensor stored = source_.dense_rows(id, 0, rows);
    std::vector<double> w(stored.as<float>(), stored.as<float>() + rows * cols);
    rotate::rotate_input(rotation(), model::Basis::Ffn, config(), {}, w, rows);
    rotate::rotate_output(rotation(), model::Basis::Residual, config(), w, cols);
    EXPECT_GE(difference_with("model.layers.0.mlp.down_proj.weight", w), kBroken);
}

TEST_P(LayerNormTeeth, ABiasOfDownThatIsNotRotatedOrNotCentredShows) {
    const LinearId id = {LinearRole::Down, 1};
    if (!has_bias(id.role, config())) GTEST_SKIP() << "has none";
    const std::string name = "model.layers.1.mlp.down_proj.bias";
    std::vector<double> centred = bias_of(id), rotated = bias_of(id);
    rotate::centre_columns(centred, 1);
    EXPECT_GE(difference_with(name, centred), kBroken);
    std::filesystem::remove_all(dir_ / "mistaken");
    rotate::rotate_output(rotation(), model::Basis::Residual, config(), rotated, 1);
    EXPECT_GE(difference_with(name, rotated), kBroken);
}

TEST_P(LayerNormTeeth, ANormsBiasThatIsNotFoldedShows) {
    const LinearId id = {LinearRole::Up, 0};
    std::vector<double> bias = bias_of(id);
    bias.resize(static_cast<size_t>(config().ffn));
    EXPECT_GE(difference_with("model.layers.0.mlp.up_proj.bias", bias), kBroken);
    std::filesystem::remove_all(dir_ / "mistaken");
    EXPECT_GE(
        difference_with("lm_head.bias", std::vector<double>(static_cast<size_t>(config().vocab))),
        kBroken);
}

// ---- the forward pass

TEST(LayerNormForward, AMeanThatIsNotSubtractedShows) {
    const auto forgotten = [](model::Weights& w) { w.config.norm = model::NormKind::Rms; };
    for (const char* family : {"opt", "gpt_neox"}) {
        EXPECT_GE(relative_difference(logits_of(folder_of(family)),
                                      logits_of(folder_of(family), forgotten)),
                  kBroken);
    }
}

TEST(LayerNormForward, ABiasOfANormThatIsForgottenShows) {
    const auto forgotten = [](model::Weights& w) { w.final_norm.bias_buffer = {}; };
    EXPECT_GE(
        relative_difference(logits_of(folder_of("opt")), logits_of(folder_of("opt"), forgotten)),
        kBroken);
}

TEST(LearnedPositions, AnOffsetByOneShows) {
    const auto off = [](model::Weights& w) { w.config.position_offset -= 1; };
    EXPECT_GE(relative_difference(logits_of(folder_of("opt")), logits_of(folder_of("opt"), off)),
              kBroken);
}

TEST(ParallelBlocks, OneAfterTheOtherShows) {
    const auto in_series = [](model::Weights& w) { w.config.parallel = false; };
    EXPECT_GE(relative_difference(logits_of(folder_of("gpt_neox")),
                                  logits_of(folder_of("gpt_neox"), in_series)),
              kBroken);
}

// The bias of keys without RoPE is the same in all scores of a query.
TEST(LearnedPositions, ABiasOfKeysIsLeftOut) {
    LoadedModel model = load(folder_of("opt"), {.context = 64});
    const auto source = folder::SourceModel::open(folder_of("opt"));
    EXPECT_GT(std::fabs(source.bias({LinearRole::K, 0})[0]), 0.0f);
    EXPECT_TRUE(model::k_bias_vanishes(model.weights->config, 0));
    EXPECT_FALSE(model.weights->kv_descriptor().k_bias_apart);
}

// ---- quantized

// GPTQ chooses codes on the text's way through the layers. A wrong way would choose worse codes
// than rounding, where it is the model's they are better on that text.
TEST(CalibratedLayerNorm, GptqIsNearerToTheModelThanRounding) {
    for (const char* family : {"opt", "gpt_neox", "starcoder2", "stablelm_parallel"}) {
        SCOPED_TRACE(family);
        const TempDir dir;
        Recipe recipe = rotated_recipe();
        recipe.weights.bits = 3;
        const std::vector<float> exact = logits_of(folder_of(family));
        std::array<double, 2> errors = {};
        for (const bool calibrated : {false, true}) {
            recipe.weights.method = calibrated ? "gptq" : "rtn";
            quantize::QuantizeOptions options = {.recipe = recipe, .n_threads = 2};
            if (calibrated) options.calibration = {test_ids()};
            const std::string out = dir / recipe.weights.method;
            quantize::quantize_model(folder_of(family), out, options);
            const std::vector<float> found = logits_of(out);
            for (size_t i = 0; i < exact.size(); ++i) {
                errors[calibrated ? 1 : 0] += std::pow(exact[i] - found[i], 2.0);
            }
        }
        std::printf("%s: GPTQ has %.2f of rounding's error\n", family, errors[1] / errors[0]);
        EXPECT_LT(errors[1], 0.8 * errors[0]);
    }
}

// A baseline without rotation keeps LayerNorm, its means and its biases.
TEST(UnrotatedLayerNorm, StaysLayerNorm) {
    const TempDir dir;
    Recipe recipe = named_recipe("rtn");
    recipe.weights.bits = recipe.activations.bits = recipe.k.bits = recipe.v.bits = 16;
    recipe.name = "plain";
    quantize::quantize_model(folder_of("opt"), dir / "out", {.recipe = recipe, .n_threads = 2});
    const auto out = folder::SourceModel::open(dir / "out");
    EXPECT_EQ(out.config().norm, model::NormKind::Layer);
    EXPECT_TRUE(out.config().tied_embeddings);
    EXPECT_LE(relative_difference(logits_of(folder_of("opt")), logits_of(dir / "out")),
              kRelativeLimit);
}

}  // namespace quarot::test
