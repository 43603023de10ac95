#include "bench/random_weights.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "bench/small_model_for_tests.h"
#include "core/error.h"
#include "kernels/backend.h"
#include "model/shard.h"
#include "runtime/engine.h"
#include "runtime/model_group.h"

namespace quarot::bench {
namespace {

using model::LinearRole;
using model::ModelConfig;

constexpr int64_t kPositions = 32;

ModelConfig small_config() {
    ModelConfig config = small_model(kPositions);
    config.tied_embeddings = true;
    return config;
}

class RandomWeights : public testing::Test {
  protected:
    model::Weights make(const Recipe& recipe, uint64_t seed = 1,
                        const ModelConfig& config = small_config()) {
        return random_weights(config, recipe, kPositions, "small", seed, *backend_);
    }

    // Of the last of five tokens.
    std::vector<float> logits(const model::Weights& weights) {
        runtime::Engine engine(weights, *backend_, {.context = kPositions});
        return logits(engine);
    }
    static std::vector<float> logits(runtime::Engine& engine) {
        std::vector<float> logits(static_cast<size_t>(engine.weights().config.vocab));
        runtime::ScopedRequest request(
            engine, {.tokens = {7, 99, 0, 3, 50}, .max_tokens = 5},
            [&](const runtime::StepRows& rows) { rows.logits(0, 1, logits); });
        request.wait();
        return logits;
    }

    // What a linear makes of a row of ones.
    std::vector<float> row_sums(const kernels::Linear& linear) {
        std::vector<float> ones(static_cast<size_t>(linear.in_features()), 1.0f);
        std::vector<float> sums(static_cast<size_t>(linear.out_features()));
        const auto row = [](std::vector<float>& values) {
            const auto n = static_cast<int64_t>(values.size());
            return kernels::Rows{values.data(), DType::F32, 1, n, n};
        };
        backend_->linear({.in = kernels::Operand{row(ones)}, .weight = linear, .out = row(sums)});
        return sums;
    }

    const std::unique_ptr<kernels::Backend> backend_ = kernels::make_backend("cpu", {1, ""});
};

Recipe grouped_and_asymmetric() {
    Recipe recipe = named_recipe("quarot-rtn");
    recipe.weights.group_size = 16;
    recipe.weights.symmetric = false;
    recipe.weights.bits = 3;
    return recipe;
}

TEST_F(RandomWeights, RunInEveryKindOfRecipe) {
    Recipe half = named_recipe("quarot-rtn");
    half.storage = DType::F16;
    for (const Recipe& recipe :
         {named_recipe("quarot-rtn"), named_recipe("rtn"), named_recipe("w8a8kv8"),
          grouped_and_asymmetric(), half, full_precision_recipe()}) {
        const std::vector<float> values = logits(make(recipe));
        const auto [lo, hi] = std::minmax_element(values.begin(), values.end());
        EXPECT_TRUE(std::all_of(values.begin(), values.end(), [](float v) {
            return std::isfinite(v);
        })) << recipe.name;
        EXPECT_LT(*lo, *hi) << recipe.name;
    }
}

TEST_F(RandomWeights, DependOnTheSeedAlone) {
    const Recipe recipe = named_recipe("quarot-rtn");
    EXPECT_EQ(logits(make(recipe, 1)), logits(make(recipe, 1)));
    EXPECT_NE(logits(make(recipe, 1)), logits(make(recipe, 2)));
}

TEST_F(RandomWeights, AreOthersInEveryMatrix) {
    const model::Weights weights = make(named_recipe("quarot-rtn"));
    const auto sums = [&](size_t layer, LinearRole role) {
        return row_sums(weights.layers[layer].linear(role));
    };
    EXPECT_NE(sums(0, LinearRole::Q), sums(1, LinearRole::Q));
    EXPECT_NE(sums(0, LinearRole::Gate), sums(0, LinearRole::Up));
}

TEST_F(RandomWeights, HaveTheWidthsOfTheRecipe) {
    Recipe recipe = named_recipe("quarot-rtn");
    recipe.down_bits = 8;
    recipe.head_bits = 5;
    const model::Weights weights = make(recipe);
    ASSERT_EQ(weights.layers.size(), 2u);
    EXPECT_EQ(weights.layers[1].linear(LinearRole::Q).bits(), 4);
    EXPECT_EQ(weights.layers[1].linear(LinearRole::Down).bits(), 8);
    EXPECT_EQ(weights.lm_head->bits(), 5);
    EXPECT_EQ(weights.n_positions, kPositions);
}

TEST_F(RandomWeights, HaveGainsWhereTheRecipeLeavesNormsUnfolded) {
    EXPECT_EQ(make(named_recipe("quarot-rtn")).final_norm.gain(), nullptr);
    const model::Weights unfolded = make(named_recipe("rtn"));
    EXPECT_NE(unfolded.final_norm.gain(), nullptr);
    EXPECT_NE(unfolded.layers[1].norm(model::NormRole::MlpIn).gain(), nullptr);
}

TEST_F(RandomWeights, HaveTheBiasesOfTheShape) {
    ModelConfig config = small_config();
    const std::vector<float> without =
        row_sums(make(named_recipe("quarot-rtn")).layers[0].linear(LinearRole::Q));
    config.bias = {LinearRole::Q, LinearRole::K, LinearRole::V};
    const model::Weights biased = make(named_recipe("quarot-rtn"), 1, config);
    const std::vector<float> with = row_sums(biased.layers[0].linear(LinearRole::Q));
    for (size_t i = 0; i < with.size(); ++i) EXPECT_FLOAT_EQ(with[i], without[i] + 0.125f);
    EXPECT_NE(biased.key_bias(1).basis, nullptr);  // which the cache leaves out
}

TEST_F(RandomWeights, HavePositionsAndBiasesOfNorms) {
    const model::Weights whole = make(full_precision_recipe(), 1, small_opt(kPositions));
    EXPECT_NE(whole.positions, nullptr);
    EXPECT_NE(whole.final_norm.bias(), nullptr);
    EXPECT_NE(whole.layers[1].norm(model::NormRole::MlpIn).bias(), nullptr);
    for (const float logit : logits(whole)) ASSERT_TRUE(std::isfinite(logit));
}

TEST_F(RandomWeights, HaveTheNormsThatQuantizingLeaves) {
    ModelConfig config = small_opt(kPositions);
    config.tied_embeddings = true;
    const model::Weights made = make(named_recipe("quarot-rtn"), 1, config);
    EXPECT_EQ(made.config.norm, model::NormKind::Rms);
    EXPECT_FALSE(made.config.tied_embeddings);
    EXPECT_EQ(made.final_norm.bias(), nullptr);
    EXPECT_TRUE(made.config.bias.contains(LinearRole::Up)) << "of the norm before it";
    for (const float logit : logits(made)) ASSERT_TRUE(std::isfinite(logit));
}

TEST_F(RandomWeights, ARankHasItsShareAndRunsBesideTheOther) {
    const ModelConfig config = small_config();
    const Recipe recipe = with_column_blocks(named_recipe("quarot-rtn"), config, 2);
    const runtime::ModelGroup group(kernels::make_group("cpu", {1, ""}, 2),
                                    [&](const model::Shard& shard, kernels::Backend& backend) {
                                        return random_weights(config, recipe, kPositions, "small",
                                                              1, backend, shard);
                                    });
    const model::Weights& part = group.weights();
    EXPECT_EQ(part.layers[0].linear(LinearRole::Q).out_features(), config.q_dim() / 2);
    EXPECT_EQ(part.layers[0].linear(LinearRole::Down).in_features(), config.ffn / 2);
    EXPECT_EQ(part.lm_head->out_features(), config.vocab / 2);
    runtime::Engine engine(group.ranks(), {.context = kPositions});
    for (const float logit : logits(engine)) ASSERT_TRUE(std::isfinite(logit));
    EXPECT_THROW(random_weights(config, named_recipe("quarot-rtn"), kPositions, "small", 1,
                                *backend_, {.rank = 0, .size = 2}),
                 Error)
        << "a recipe that was not made for two";
}

TEST_F(RandomWeights, GroupsThatDivideNothingAreRefused) {
    Recipe recipe = named_recipe("quarot-rtn");
    recipe.weights.group_size = 24;
    EXPECT_THROW(make(recipe), Error);
}

TEST_F(RandomWeights, ColumnsKeptApartAreRefused) {
    try {
        make(named_recipe("atom-64g"));
        FAIL() << "no error";
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::Unsupported);
        EXPECT_NE(std::string(error.what()).find("atom-64g"), std::string::npos) << error.what();
    }
}

// q and o: 64 * 64 codes and 64 scales; k and v: 32 * 64; gate, up: 96 * 64; down: 64 * 96.
constexpr int64_t kCodes = 2 * 64 * 64 + 2 * 32 * 64 + 2 * 96 * 64 + 64 * 96;
constexpr int64_t kScales = 2 * 64 + 2 * 32 + 2 * 96 + 64;
constexpr int64_t kTableEntries = 100 * 64;
constexpr CacheSize kCache = {.n_positions = 7, .n_tokens = 128};
constexpr int64_t kRopeTables = 7 * 8 * 4 * 2;  // 8 angles a position

class MemoryNeeds : public RandomWeights {
  protected:
    MemoryNeed need_of(const Recipe& recipe, const CacheSize& cache = kCache,
                       const ModelConfig& config = small_config()) const {
        return memory_need(config, recipe, cache, *backend_);
    }
};

TEST_F(MemoryNeeds, CountContainersScalesTablesAndPages) {
    const Recipe recipe = named_recipe("quarot-rtn");
    // A scale, a zero point and a sum of codes; tables untied by what is folded, in 16 bits as
    // published.
    EXPECT_EQ(need_of(recipe).weights,
              2 * (kCodes / 2 + 12 * kScales) + 2 * 2 * kTableEntries + kRopeTables);
    EXPECT_EQ(need_of(recipe).kv_cache,
              backend_->kv_bytes(make(recipe).kv_descriptor(), 2).value());
}

TEST_F(MemoryNeeds, CountOneTableWhereTheHeadStaysTiedAndBytesAboveFourBits) {
    Recipe recipe = named_recipe("rtn");
    recipe.weights.bits = 5;
    recipe.weights.group_size = 16;
    EXPECT_EQ(need_of(recipe).weights,
              2 * (kCodes + 8 * kCodes / 16 + 4 * kScales) + 2 * kTableEntries + kRopeTables)
        << "scales and sums of groups, one zero point a row";
}

TEST_F(MemoryNeeds, CountEveryTableOfPositions) {
    const Recipe recipe = named_recipe("quarot-rtn");
    const int64_t one = need_of(recipe).weights;
    ModelConfig config = small_config();
    config.ropes.resize(2);
    EXPECT_EQ(need_of(recipe, kCache, config).weights, one + kRopeTables);
    config.ropes.clear();
    config.learned_positions = 40;
    EXPECT_EQ(need_of(recipe, kCache, config).weights, one - kRopeTables + 40 * 64 * 2);
}

TEST_F(MemoryNeeds, OfHugeCachesDoNotWrapAround) {
    constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
    EXPECT_EQ(need_of(named_recipe("rtn"), {.n_positions = 1, .n_tokens = kMost}).kv_cache, kMost);
}

TEST_F(MemoryNeeds, SayHowManyLayersHaveRoomBesideEmbeddingAndHead) {
    const Recipe recipe = named_recipe("quarot-rtn");
    const auto shape = [](int64_t n_layers) {
        ModelConfig config = small_config();
        config.n_layers = n_layers;
        return config;
    };
    const auto bytes = [&](int64_t n_layers) {
        const MemoryNeed need = memory_need(shape(n_layers), recipe, kCache, *backend_);
        return need.weights + need.kv_cache;
    };
    const auto fitting = [&](int64_t available) {
        return fitting_layers(shape(10), recipe, kCache, *backend_, available);
    };
    EXPECT_EQ(fitting(bytes(3)), 3);
    EXPECT_EQ(fitting(bytes(3) - 1), 2);
    EXPECT_EQ(fitting(bytes(11)), 10);
    EXPECT_EQ(fitting(bytes(0) - 1), 0);
}

}  // namespace
}  // namespace quarot::bench
