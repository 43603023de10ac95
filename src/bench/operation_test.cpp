#include "bench/operation.h"

#include <gtest/gtest.h>

#include <optional>
#include <tuple>

#include "bench/random_weights.h"
#include "bench/small_model_for_tests.h"
#include "kernels/backend.h"

namespace quarot::bench {
namespace {

class Operations : public testing::Test {
  protected:
    // Of 2 sequences with 3 tokens each behind 5.
    std::vector<OperationCost> costs(const Recipe& recipe,
                                     const model::ModelConfig& config = small_model(16)) {
        const model::Weights weights = random_weights(config, recipe, 8, "small", 1, *backend_);
        SampleStep step(weights, {.sequences = 2, .tokens = 3, .depth = 5}, *backend_);
        std::vector<OperationCost> all;
        for (const Operation& operation : operations_of(step)) {
            operation.enqueue(1);
            all.push_back(operation.cost);
        }
        return all;
    }
    static const OperationCost& named(const std::vector<OperationCost>& all,
                                      const std::string& name) {
        for (const OperationCost& cost : all) {
            if (cost.name == name) return cost;
        }
        ADD_FAILURE() << "no " << name;
        return all.front();
    }

    const std::unique_ptr<kernels::Backend> backend_ = kernels::make_backend("cpu", {1, ""});
};

TEST_F(Operations, AreThoseOfALayerInOrderAndTheHead) {
    std::vector<std::string> names;
    for (const OperationCost& cost : costs(named_recipe("quarot-rtn"))) {
        names.push_back(cost.name + ": " + cost.shape);
    }
    EXPECT_EQ(names, (std::vector<std::string>{"norm: 64", "q, k, v: 128 x 64", "RoPE, cache: 128",
                                               "attention: 4 x 16", "head mix: 64", "o: 64 x 64",
                                               "gate, up: 192 x 64", "SwiGLU: 96", "down: 64 x 96",
                                               "head: 100 x 64"}));
}

TEST_F(Operations, LeaveOutWhatIsNotDoneIn16Bits) {
    for (const OperationCost& cost : costs(full_precision_recipe())) {
        EXPECT_NE(cost.name, "head mix");
    }
}

TEST_F(Operations, HaveNoGateWhereTheModelHasNone) {
    const auto all = costs(full_precision_recipe(), small_opt(16));
    EXPECT_EQ(named(all, "up").shape, "96 x 64");
    EXPECT_EQ(named(all, "activation").bytes, 4.0 * 6 * (96 + 96));
}

TEST_F(Operations, CountWhatIsComputed) {
    const auto all = costs(named_recipe("quarot-rtn"));
    EXPECT_EQ(named(all, "gate, up").computed, 2.0 * 6 * 192 * 64);
    EXPECT_EQ(named(all, "head").computed, 2.0 * 2 * 100 * 64);
    // Each sequence's tokens attend to 6, 7 and 8 positions: q k^T and P V.
    EXPECT_EQ(named(all, "attention").computed, 2.0 * 2 * (2 * 21) * 4 * 16);
    EXPECT_EQ(named(all, "SwiGLU").computed, 0.0);
    EXPECT_FALSE(named(all, "SwiGLU").product);
    const ProductShape down = named(all, "down").product.value();
    EXPECT_EQ(std::tuple(down.rows, down.out_features, down.in_features), std::tuple(6, 64, 96));
    EXPECT_EQ(down.n_matrices, small_model(16).n_layers);
    EXPECT_EQ(named(all, "head").product.value().rows, 2);
    EXPECT_EQ(named(all, "head").product.value().n_matrices, 1);
}

TEST_F(Operations, CountWhatIsMovedAsItIsKept) {
    const auto whole = costs(full_precision_recipe());
    // bf16 weights, fp32 rows in and out.
    EXPECT_EQ(named(whole, "down").bytes, 2.0 * 64 * 96 + 4.0 * 6 * (96 + 64));
    // 8 positions of 2 sequences out of a page of 64, and q in, the result out.
    const auto page = static_cast<double>(
        backend_->kv_bytes({.n_layers = 1, .n_kv_heads = 2, .head_dim = 16}, 1).value());
    EXPECT_EQ(named(whole, "attention").bytes, 2.0 * 8 * page / 64 + 4.0 * 6 * 2 * 64);
    const auto quantized = costs(named_recipe("quarot-rtn"));
    const double codes = 64.0 * 96 / 2 + 4.0 * 64;
    const double in = static_cast<double>(backend_->quantized_bytes(6, 96, {.bits = 4}));
    EXPECT_EQ(named(quantized, "down").bytes, codes + in + 4.0 * 6 * 64);
    EXPECT_EQ(
        named(quantized, "norm").bytes,
        3.0 * 4 * 6 * 64 + static_cast<double>(backend_->quantized_bytes(6, 64, {.bits = 4})));
}

TEST_F(Operations, AreTimedInSamplesOfATenthOfASecond) {
    double now = 0.0;
    std::vector<int64_t> layers;
    const double seconds = seconds_of(
        [&](int64_t layer) {
            layers.push_back(layer);
            now += layer == 0 ? 0.01 : 0.03;
        },
        2, 3, *backend_, [&] { return now; });
    EXPECT_NEAR(seconds, 0.02, 1e-9);
    // Once for scratch, once to see how long it takes; then 3 samples of three replays.
    EXPECT_EQ(layers.size(), 2u * (1 + 1 + 3 * 3));
    EXPECT_EQ(layers[0], 0);
    EXPECT_EQ(layers[1], 1);
}

TEST_F(Operations, TakeTheMedianOfTheirSamples) {
    double now = 0.0;
    int64_t n_calls = 0;
    // Scratch and a look, then samples of 1, 9 and 2 s.
    const std::vector<double> seconds = {50.0, 50.0, 1.0, 9.0, 2.0};
    EXPECT_NEAR(seconds_of([&](int64_t) { now += seconds.at(static_cast<size_t>(n_calls++)); }, 1,
                           3, *backend_, [&] { return now; }),
                2.0, 1e-9);
}

TEST_F(Operations, HaveNoFp8BesideThemOnACpu) {
    EXPECT_EQ(fp8_seconds_of({.rows = 16, .out_features = 32, .in_features = 64}, 1, *backend_,
                             steady_clock()),
              std::nullopt);
}

TEST_F(Operations, OfACopyCountBytesReadAndWritten) {
    double now = 0.0;
    const double speed = copy_speed(4 * 16384, 1, *backend_, [&] { return now += 0.25; });
    EXPECT_NEAR(speed, 2.0 * 4 * 16384 / 0.25, 1.0);
}

}  // namespace
}  // namespace quarot::bench
