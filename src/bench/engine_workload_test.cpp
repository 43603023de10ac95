#include "bench/engine_workload.h"

#include <gtest/gtest.h>

#include "bench/random_weights.h"
#include "kernels/backend.h"

namespace quarot::bench {
namespace {

class EngineWorkloads : public testing::Test {
  protected:
    static model::ModelConfig small_config() {
        return {.hidden = 32,
                .ffn = 64,
                .n_layers = 1,
                .n_heads = 2,
                .n_kv_heads = 1,
                .head_dim = 16,
                .vocab = 50,
                .max_positions = 64};
    }

    const std::unique_ptr<kernels::Backend> backend_ = kernels::make_backend("cpu", {1, ""});
    const model::Weights weights_ =
        random_weights(small_config(), named_recipe("quarot-rtn"), 64, "small", 1, *backend_);
};

TEST_F(EngineWorkloads, DecodeAtTheirDepthInNewSequencesEveryTime) {
    const SpeedTest test = {.phase = Phase::Decode, .n_tokens = 3, .depth = 5, .batch = 2};
    // Room for two sequences: those of the run before are gone, or there is none.
    runtime::Engine engine(weights_, *backend_, limits_of(test));
    EngineWorkload workload(test, engine);
    int64_t n_run = 0;
    const auto expect_more = [&](int64_t n) { EXPECT_EQ(engine.n_tokens_run(), n_run += n); };
    workload.prepare();
    expect_more(2 * 5);
    workload.warm_up();
    expect_more(2 * 1);
    workload.prepare();
    expect_more(2 * 5);
    workload.run();
    expect_more(2 * 3);
}

// A cache of 64 thousand tokens takes minutes to fill, which once is enough.
TEST_F(EngineWorkloads, FillWholePagesOnce) {
    const SpeedTest test = {.phase = Phase::Decode, .n_tokens = 3, .depth = 131, .batch = 2};
    const model::Weights weights =
        random_weights(small_config(), named_recipe("quarot-rtn"), 134, "small", 1, *backend_);
    runtime::Engine engine(weights, *backend_, limits_of(test));
    EngineWorkload workload(test, engine);
    workload.prepare();
    EXPECT_EQ(engine.n_tokens_run(), 2 * 131);
    workload.warm_up();
    const int64_t before = engine.n_tokens_run();
    for (const int64_t n : {1, 2, 3}) {
        workload.prepare();
        EXPECT_EQ(engine.n_tokens_run(), before + n * 2 * (131 % 64));
    }
}

TEST_F(EngineWorkloads, TakeAPromptAfterTheirDepth) {
    const SpeedTest test = {.phase = Phase::Prompt, .n_tokens = 9, .depth = 4, .batch = 2};
    runtime::Engine engine(weights_, *backend_, limits_of(test));
    EngineWorkload workload(test, engine);
    int64_t n_run = 0;
    const auto expect_more = [&](int64_t n) { EXPECT_EQ(engine.n_tokens_run(), n_run += n); };
    workload.prepare();
    workload.warm_up();
    expect_more(2 * (4 + 9));
    workload.prepare();
    expect_more(2 * 4);
    workload.run();
    expect_more(2 * 9);
}

TEST_F(EngineWorkloads, BeginWithoutADepth) {
    for (const Phase phase : {Phase::Prompt, Phase::Decode}) {
        const SpeedTest test = {.phase = phase, .n_tokens = 4};
        runtime::Engine engine(weights_, *backend_, limits_of(test));
        EngineWorkload workload(test, engine);
        workload.prepare();
        EXPECT_EQ(engine.n_tokens_run(), 0);
        workload.run();
        EXPECT_EQ(engine.n_tokens_run(), 4);
    }
}

}  // namespace
}  // namespace quarot::bench
