#include "model/step_memory.h"

#include <gtest/gtest.h>

#include "kernels/backend.h"

namespace quarot::model {
namespace {

TEST(StepMemory, HasRoomForTheMlpsThatThereAre) {
    const auto backend = kernels::make_backend("cpu", {1, ""});
    Weights weights;
    weights.config = {.hidden = 32,
                      .ffn = 96,
                      .n_layers = 2,
                      .n_heads = 2,
                      .n_kv_heads = 2,
                      .head_dim = 16,
                      .vocab = 10,
                      .layers = {{.mixture = true}, {.mixture = true}},
                      .mixture = {.n_experts = 4, .top_k = 2, .ffn = 16}};
    const StepSize size = {.tokens = 3, .sequences = 1, .pages = 1, .logit_rows = 1};
    const StepMemory mixtures(weights, size, *backend);
    EXPECT_EQ(mixtures.gate.cols, 0);
    EXPECT_EQ(mixtures.up.cols, 0);
    EXPECT_EQ(mixtures.expert_up.cols, 16);
    weights.config.layers[0].mixture = false;
    const StepMemory both(weights, size, *backend);
    EXPECT_EQ(both.gate.cols, 96);
    EXPECT_EQ(both.up.cols, 96);
}

}  // namespace
}  // namespace quarot::model
