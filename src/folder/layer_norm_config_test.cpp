// Which network is in the config.json of published models with LayerNorm, and which of them are
// refused by name?
#include <gtest/gtest.h>

#include "core/expect_error.h"
#include "folder/config_texts_for_tests.h"
#include "folder/folder_config.h"
#include "folder/recipe_json.h"

namespace quarot::folder {
namespace {

using model::Activation;
using model::LinearRole;
using model::NormKind;
using model::NormRole;

constexpr const char* kOpt125m = R"({
  "_remove_final_layer_norm": false, "activation_dropout": 0.0, "activation_function": "relu",
  "architectures": ["OPTForCausalLM"], "bos_token_id": 2, "do_layer_norm_before": true,
  "eos_token_id": 2, "ffn_dim": 3072, "hidden_size": 768, "max_position_embeddings": 2048,
  "model_type": "opt", "num_attention_heads": 12, "num_hidden_layers": 12, "pad_token_id": 1,
  "torch_dtype": "float16", "vocab_size": 50272, "word_embed_proj_dim": 768
})";

constexpr const char* kPythia160m = R"({
  "architectures": ["GPTNeoXForCausalLM"], "bos_token_id": 0, "eos_token_id": 0,
  "hidden_act": "gelu", "hidden_size": 768, "intermediate_size": 3072, "layer_norm_eps": 1e-05,
  "max_position_embeddings": 2048, "model_type": "gpt_neox", "num_attention_heads": 12,
  "num_hidden_layers": 12, "rotary_emb_base": 10000, "rotary_pct": 0.25,
  "tie_word_embeddings": false, "torch_dtype": "float16", "use_parallel_residual": true,
  "vocab_size": 50304
})";

constexpr const char* kStableLm2 = R"({
  "architectures": ["StableLmForCausalLM"], "bos_token_id": 100257, "eos_token_id": 100257,
  "hidden_act": "silu", "hidden_size": 2048, "intermediate_size": 5632, "layer_norm_eps": 1e-05,
  "max_position_embeddings": 4096, "model_type": "stablelm", "num_attention_heads": 32,
  "num_hidden_layers": 24, "num_key_value_heads": 32, "partial_rotary_factor": 0.25,
  "rope_theta": 10000, "tie_word_embeddings": false, "use_qkv_bias": true, "vocab_size": 100352
})";

void expect_refused(const std::string& text, const std::string& words) {
    expect_error(ErrorCode::Unsupported, {words}, [&] { read_text(text); });
}

TEST(OptConfig, HasLearnedPositionsAndNoRope) {
    const model::ModelConfig config = read_text(kOpt125m);
    EXPECT_EQ(config.family, "opt");
    EXPECT_EQ(config.norm, NormKind::Layer);
    EXPECT_TRUE(config.norm_bias);
    EXPECT_EQ(config.norm_eps, 1e-5) << "torch's, since files do not say";
    EXPECT_EQ(config.activation, Activation::Relu);
    EXPECT_FALSE(config.gated);
    EXPECT_EQ(config.ffn, 3072);
    EXPECT_EQ(config.learned_positions, 2050);
    EXPECT_EQ(config.position_offset, 2);
    EXPECT_EQ(config.layer(11).rope, -1);
    EXPECT_TRUE(config.tied_embeddings);
    EXPECT_TRUE(has_bias(LinearRole::Up, config) && has_bias(LinearRole::O, config));
    EXPECT_FALSE(has_bias(LinearRole::LmHead, config));
    const auto at_mlp = roles_at(model::InputSite::Mlp, config);
    EXPECT_EQ(std::vector(at_mlp.begin(), at_mlp.end()), std::vector{LinearRole::Up});
}

TEST(OptConfig, The350mModelIsRefused) {
    expect_refused(changed(R"({"do_layer_norm_before": false})", kOpt125m), "OPT-350m");
    expect_refused(changed(R"({"word_embed_proj_dim": 512})", kOpt125m), "word_embed_proj_dim");
    expect_refused(changed(R"({"_remove_final_layer_norm": true})", kOpt125m),
                   "_remove_final_layer_norm is true");
    expect_refused(changed(R"({"layer_norm_elementwise_affine": false})", kOpt125m),
                   "layer_norm_elementwise_affine is false");
}

TEST(GptNeoxConfig, HasParallelBlocksOfTwoNorms) {
    const model::ModelConfig config = read_text(kPythia160m);
    EXPECT_EQ(config.norm, NormKind::Layer);
    EXPECT_TRUE(config.parallel);
    EXPECT_FALSE(config.shares_norm());
    EXPECT_EQ(config.activation, Activation::Gelu);
    EXPECT_FALSE(config.gated);
    EXPECT_EQ(config.n_kv_heads, 12);
    EXPECT_EQ(config.ropes.at(0).rotary_dim, 16);
    EXPECT_TRUE(has_bias(LinearRole::Q, config));
    const auto open = read_text(changed(R"({"rotary_pct": null})", kPythia160m));
    EXPECT_EQ(open.ropes.at(0).rotary_dim, 16) << "a quarter, where the file does not say";
    EXPECT_FALSE(read_text(changed(R"({"use_parallel_residual": false})", kPythia160m)).parallel);
}

TEST(GptNeoxConfig, QueryKeyAndValueStandHeadByHead) {
    const model::ModelConfig config = read_text(kPythia160m);
    const Family& family = family_of(io::Json::parse(kPythia160m, "config.json"));
    const TensorSlice k = family.linear({LinearRole::K, 3}, config);
    EXPECT_EQ(k.name, "gpt_neox.layers.3.attention.query_key_value");
    EXPECT_EQ(k.row(0), 64);
    EXPECT_EQ(k.row(64), 64 + 192) << "the second head";
    EXPECT_EQ(family.norm(NormRole::MlpIn, 3, config),
              "gpt_neox.layers.3.post_attention_layernorm");
}

TEST(RotatedConfig, IsOfAModelWithRmsNormHoweverRopeIsStretched) {
    io::Json config = io::Json::parse(kPythia160m, "config.json");
    config.set("quantization_config", to_json(named_recipe("quarot-rtn")));
    FolderConfig read = read_folder_config(config);
    const auto expect_folded = [&] {
        EXPECT_EQ(read.model.norm, NormKind::Rms);
        EXPECT_FALSE(read.model.norm_bias);
        EXPECT_TRUE(has_bias(LinearRole::LmHead, read.model));
    };
    expect_folded();
    override_rope(config, io::Json::parse(R"({"type": "linear", "factor": 2.0})", "asked"), read);
    EXPECT_EQ(read.model.ropes.at(0).factor, 2.0);
    expect_folded();
}

TEST(OptConfig, NoScalingStretchesLearnedPositions) {
    const io::Json config = io::Json::parse(kOpt125m, "config.json");
    FolderConfig read = read_folder_config(config);
    expect_error(ErrorCode::Usage, {"without RoPE"}, [&] {
        override_rope(config, io::Json::parse(R"({"type": "linear", "factor": 2.0})", "asked"),
                      read);
    });
}

TEST(StableLmConfig, IsALlamaWithLayerNorm) {
    const model::ModelConfig config = read_text(kStableLm2);
    EXPECT_EQ(config.norm, NormKind::Layer);
    EXPECT_TRUE(config.gated);
    EXPECT_FALSE(config.parallel);
    EXPECT_EQ(config.ropes.at(0).rotary_dim, 16);
    EXPECT_TRUE(has_bias(LinearRole::V, config));
    EXPECT_FALSE(has_bias(LinearRole::O, config));
    const auto parallel = read_text(changed(R"({"use_parallel_residual": true})", kStableLm2));
    EXPECT_TRUE(parallel.shares_norm());
    EXPECT_EQ(rule_of(LinearRole::Up, parallel).folded_norm, NormRole::AttentionIn);
    expect_refused(changed(R"({"qk_layernorm": true})", kStableLm2), "StableLM 2 12B");
}

constexpr const char* kCommandR = R"({
  "architectures": ["CohereForCausalLM"], "attention_bias": false, "bos_token_id": 5,
  "eos_token_id": 255001, "hidden_act": "silu", "hidden_size": 8192, "intermediate_size": 22528,
  "layer_norm_eps": 1e-05, "logit_scale": 0.0625, "max_position_embeddings": 8192,
  "model_max_length": 131072, "model_type": "cohere", "num_attention_heads": 64,
  "num_hidden_layers": 40, "num_key_value_heads": 64, "rope_theta": 8000000.0,
  "torch_dtype": "float16", "use_qk_norm": false, "vocab_size": 256000
})";

TEST(CohereConfig, HasOneNormOfBothBlocksAndNeighbouringPairs) {
    const model::ModelConfig config = read_text(kCommandR);
    EXPECT_EQ(config.norm, NormKind::Layer);
    EXPECT_FALSE(config.norm_bias);
    EXPECT_TRUE(config.shares_norm());
    EXPECT_TRUE(config.gated);
    EXPECT_TRUE(config.tied_embeddings);
    EXPECT_EQ(config.logit_scale, 0.0625);
    EXPECT_EQ(config.ropes.at(0).pairs, model::RopePairs::Neighbours);
    EXPECT_EQ(config.ropes.at(0).theta, 8e6);
    EXPECT_EQ(read_text(changed(R"({"rope_theta": null})", kCommandR)).ropes.at(0).theta, 5e5);
    expect_refused(changed(R"({"use_qk_norm": true})", kCommandR), "Command R+");
}

}  // namespace
}  // namespace quarot::folder
