#include "bench/sample_step.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "bench/random_weights.h"
#include "bench/small_model_for_tests.h"
#include "kernels/backend.h"

namespace quarot::bench {
namespace {

using model::InputSite;

TEST(StepShapes, ArePromptsThatFitIntoAStepAndLastTokensOfDecoding) {
    const std::vector<SpeedTest> tests = {{Phase::Prompt, 200, 7, 4},
                                          {Phase::Prompt, 2000, 0, 4},
                                          {Phase::Decode, 32, 100, 4},
                                          {Phase::Decode, 1, 131, 4}};
    const std::vector<StepShape> expected = {{.sequences = 2, .tokens = 200, .depth = 7},
                                             {.sequences = 1, .tokens = 512, .depth = 0},
                                             {.sequences = 4, .tokens = 1, .depth = 131}};
    EXPECT_EQ(steps_of(tests, 512), expected);
    EXPECT_EQ(cache_size(expected).n_positions, 512);
    EXPECT_EQ(cache_size(expected).n_tokens, 4 * 192);
}

class SampleSteps : public testing::Test {
  protected:
    model::Weights weights(const Recipe& recipe) {
        return random_weights(small_model(100), recipe, 100, "small", 1, *backend_);
    }
    std::vector<float> scales(const SampleStep& step, InputSite site) {
        return backend_->read_codes(std::get<kernels::QuantizedRows>(step.operand(site).rows))
            .scales;
    }

    const std::unique_ptr<kernels::Backend> backend_ = kernels::make_backend("cpu", {1, ""});
};

TEST_F(SampleSteps, KeepTheSizeOfTheirNumbersHoweverOftenTheyRun) {
    const model::Weights model = weights(named_recipe("quarot-rtn"));
    SampleStep step(model, {.sequences = 2, .tokens = 3, .depth = 70}, *backend_);
    for (int i = 0; i < 200; ++i) {
        step.norm(0, InputSite::Attention);
        step.append(1);
        step.attention(1);
        step.mix_heads();
        step.activate();
        step.quantize_ffn(Rotated::Yes);
    }
    step.layer(1);
    step.head();
    for (const InputSite site :
         {InputSite::Attention, InputSite::Output, InputSite::Mlp, InputSite::Down}) {
        for (const float scale : scales(step, site)) {
            EXPECT_GT(scale, 1e-3f);
            EXPECT_LT(scale, 1e3f);
        }
    }
}

TEST_F(SampleSteps, RunWithoutQuantizingToo) {
    const model::Weights model = weights(full_precision_recipe());
    SampleStep step(model, {.sequences = 1, .tokens = 5, .depth = 0}, *backend_);
    step.layer(1);
    const auto& in = std::get<kernels::Rows>(step.operand(InputSite::Down).rows);
    EXPECT_EQ(in.cols, 96);
    EXPECT_TRUE(std::isfinite(in.f32(4)[95]));
}

TEST_F(SampleSteps, QuantizeOtherCodesWithoutTheRotation) {
    const model::Weights model = weights(named_recipe("quarot-rtn"));
    SampleStep step(model, {.sequences = 1, .tokens = 4, .depth = 0}, *backend_);
    step.quantize_ffn(Rotated::No);
    const std::vector<float> plain = scales(step, InputSite::Down);
    step.quantize_ffn(Rotated::Yes);
    EXPECT_NE(scales(step, InputSite::Down), plain);
}

TEST_F(SampleSteps, RunWithoutAGate) {
    for (const Recipe& recipe : {full_precision_recipe(), named_recipe("quarot-rtn")}) {
        const model::Weights model =
            random_weights(small_opt(100), recipe, 100, "small", 1, *backend_);
        SampleStep step(model, {.sequences = 2, .tokens = 3, .depth = 7}, *backend_);
        for (const int64_t layer : {0, 1}) step.layer(layer);
        step.head();
        backend_->synchronize();
    }
}

TEST_F(SampleSteps, NormAsTheModelDoes) {
    const model::Weights model =
        random_weights(small_opt(100), full_precision_recipe(), 100, "small", 1, *backend_);
    SampleStep step(model, {.sequences = 1, .tokens = 2, .depth = 0}, *backend_);
    step.norm(0, InputSite::Mlp);
    backend_->synchronize();
    const auto& normed = std::get<kernels::Rows>(step.operand(InputSite::Mlp).rows);
    const float* row = normed.f32(1);
    EXPECT_NEAR(std::accumulate(row, row + 64, 0.0) / 64, 0.125, 1e-6) << "the bias";
}

}  // namespace
}  // namespace quarot::bench
