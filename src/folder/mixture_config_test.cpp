// Which layers of a config.json have a mixture of experts, and which files are refused?
#include <gtest/gtest.h>

#include "core/error.h"
#include "folder/folder_config.h"
#include "io/json.h"
#include "model/online_transforms.h"
#include "model/roles.h"

namespace quarot::folder {
namespace {

using model::LinearRole;

constexpr const char* kQwen3Moe = R"({
  "architectures": ["Qwen3MoeForCausalLM"], "hidden_size": 64, "intermediate_size": 96,
  "num_hidden_layers": 6, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16,
  "vocab_size": 300, "max_position_embeddings": 128, "rms_norm_eps": 1e-6,
  "num_experts": 8, "num_experts_per_tok": 3, "moe_intermediate_size": 48,
  "norm_topk_prob": true, "decoder_sparse_step": 2, "mlp_only_layers": [3]})";

model::ModelConfig read(const std::string& key, const io::Json& value) {
    io::Json json = io::Json::parse(kQwen3Moe, "config.json");
    if (!key.empty()) json.set(key, value);
    return read_folder_config(io::Json::parse(json.dump(-1), "config.json")).model;
}

void expect_corrupt(const std::string& key, const io::Json& value, const std::string& words) {
    try {
        read(key, value);
        ADD_FAILURE() << key << " was read";
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::Corrupt) << error.what();
        EXPECT_NE(std::string(error.what()).find(words), std::string::npos) << error.what();
    }
}

TEST(MixtureConfig, SparseStepsAndDenseLayersBecomeLayers) {
    const model::ModelConfig config = read("", {});
    std::string mixtures;
    for (int64_t layer = 0; layer < 6; ++layer) {
        mixtures += config.layer(layer).mixture ? '1' : '0';
    }
    EXPECT_EQ(mixtures, "010001") << "every second, but the fourth";
    EXPECT_EQ(config.mixture.n_experts, 8);
    EXPECT_EQ(config.mixture.top_k, 3);
    EXPECT_TRUE(config.mixture.renormalize);
    EXPECT_FALSE(read("norm_topk_prob", false).mixture.renormalize);
    EXPECT_TRUE(read("decoder_sparse_step", 1).layer(0).mixture);
}

TEST(MixtureConfig, ExpertsAreAsWideAsTheyAreAndOthersAsTheMlp) {
    const model::ModelConfig config = read("", {});
    EXPECT_EQ(in_features({LinearRole::Down, 1, 7}, config), 48);
    EXPECT_EQ(out_features({LinearRole::Up, 1, 0}, config), 48);
    EXPECT_EQ(in_features(LinearRole::Down, config), 96);
    EXPECT_EQ(out_features(LinearRole::Router, config), 8);
    EXPECT_EQ(linears_of(config, 1).size(), 4u + 1u + 8u * 3u);
    EXPECT_EQ(linears_of(config, 3).size(), 7u);
}

TEST(MixtureConfig, ValuesOutOfRangeAndAtOddsAreRefused) {
    expect_corrupt("num_experts", 0, "num_experts is 0");
    expect_corrupt("num_experts", 5000, "num_experts is 5000");
    expect_corrupt("num_local_experts", 9, "expected one number of experts");
    expect_corrupt("num_experts_per_tok", 9, "num_experts_per_tok is 9");
    expect_corrupt("num_experts_per_tok", 0, "num_experts_per_tok is 0");
    expect_corrupt("moe_intermediate_size", int64_t{1} << 40, "moe_intermediate_size");
    expect_corrupt("decoder_sparse_step", 0, "decoder_sparse_step is 0");
    expect_corrupt("mlp_only_layers", io::Json::Array{6}, "6");
    expect_corrupt("mlp_only_layers", 3, "mlp_only_layers");
}

// Some files have an intermediate_size that no layer has.
TEST(MixtureConfig, BlocksOfR4DivideTheWidthsThatLayersHave) {
    Recipe recipe = named_recipe("quarot-rtn");
    recipe.rotation.ffn_block = 48;
    io::Json json = io::Json::parse(kQwen3Moe, "config.json");
    json.set("intermediate_size", 90);
    json.set("decoder_sparse_step", 1);
    const auto check = [&] {
        const model::ModelConfig config = read_folder_config(json).model;
        io::Json made = json;
        made.set("quantization_config", io::Json::Object{});
        check_recipe_fits(recipe, config, io::Json::parse(made.dump(-1), "config.json"));
        return model::make_online_transforms(recipe.rotation, config);
    };
    EXPECT_THROW(check(), Error) << "the fourth layer is dense";
    json.set("mlp_only_layers", io::Json::Array{});
    EXPECT_EQ(check().ffn->n, 48);
    recipe.rotation.ffn_block = 0;
    EXPECT_EQ(check().ffn->n, 48);
}

// Names of all tensors are made before any file is looked at.
TEST(MixtureConfig, MoreExpertsThanAModelHasAreRefused) {
    io::Json json = io::Json::parse(kQwen3Moe, "config.json");
    json.set("num_hidden_layers", 1024);
    json.set("num_experts", 1024);
    json.set("decoder_sparse_step", 1);
    try {
        read_folder_config(json);
        FAIL() << "read";
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::Corrupt);
        EXPECT_NE(std::string(error.what()).find("1047552 experts"), std::string::npos)
            << error.what();
    }
}

}  // namespace
}  // namespace quarot::folder
