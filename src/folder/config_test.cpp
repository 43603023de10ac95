// Which config.json texts are understood.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "core/expect_error.h"
#include "folder/config_texts_for_tests.h"
#include "folder/families/config_fields.h"
#include "folder/families/rope_fields.h"
#include "folder/folder_config.h"
#include "folder/recipe_json.h"
#include "folder/stored_names.h"

namespace quarot::folder {

TEST(LlamaConfig, ReadsLlama2) {
    const model::ModelConfig config = read_text(kLlama2);
    EXPECT_EQ(config.architecture, "LlamaForCausalLM");
    EXPECT_EQ(config.family, "llama");
    EXPECT_EQ(config.hidden, 4096);
    EXPECT_EQ(config.ffn, 11008);
    EXPECT_EQ(config.n_layers, 32);
    EXPECT_EQ(config.n_heads, 32);
    EXPECT_EQ(config.n_kv_heads, 32);
    EXPECT_EQ(config.head_dim, 128);
    EXPECT_EQ(config.vocab, 32000);
    EXPECT_EQ(config.max_positions, 4096);
    EXPECT_EQ(config.norm_eps, 1e-5);
    EXPECT_EQ(config.ropes[0].type, model::RopeType::Default);
    EXPECT_EQ(config.ropes[0].theta, 10000.0);
    EXPECT_FALSE(config.tied_embeddings);
    EXPECT_EQ(config.bias, model::RoleSet());
    EXPECT_EQ(config.eos, std::vector<int32_t>{2});
}

TEST(LlamaConfig, ReadsLlama3) {
    const model::ModelConfig config = read_text(kLlama3);
    EXPECT_EQ(config.kv_dim(), 1024);
    EXPECT_EQ(config.q_dim(), 8192);
    EXPECT_EQ(config.ropes[0].theta, 500000.0);
    EXPECT_EQ(config.ropes[0].type, model::RopeType::Default);
    EXPECT_EQ(config.n_layers, 80);
}

TEST(LlamaConfig, ReadsLlama31sRopeAndEndTokens) {
    const model::ModelConfig config = read_text(kLlama31);
    EXPECT_EQ(config.ropes[0].type, model::RopeType::Llama3);
    EXPECT_EQ(config.ropes[0].factor, 8.0);
    EXPECT_EQ(config.ropes[0].low_freq_factor, 1.0);
    EXPECT_EQ(config.ropes[0].high_freq_factor, 4.0);
    EXPECT_EQ(config.ropes[0].original_max_positions, 8192);
    EXPECT_EQ(config.max_positions, 131072);
    EXPECT_EQ(config.eos, (std::vector<int32_t>{128001, 128008, 128009}));
}

TEST(LlamaConfig, ReadsTiedModels) {
    const model::ModelConfig llama = read_text(kLlama32);
    EXPECT_TRUE(llama.tied_embeddings);
    EXPECT_EQ(llama.ropes[0].factor, 32.0);
    const model::ModelConfig smol = read_text(kSmolLm2);
    EXPECT_TRUE(smol.tied_embeddings);
    EXPECT_EQ(smol.head_dim, 64);
    EXPECT_EQ(smol.n_heads, 9);
    EXPECT_EQ(smol.ropes[0].theta, 100000.0) << "an integer is a number too";
}

TEST(LlamaConfig, ReadsTinyLlama) {
    const model::ModelConfig config = read_text(kTinyLlama);
    EXPECT_EQ(config.n_kv_heads, 4);
    EXPECT_EQ(config.head_dim, 64);
}

TEST(LlamaConfig, KnowsDefaultsOfAbsentAndNullKeys) {
    for (const std::string& text :
         {without("num_key_value_heads"), changed(R"({"num_key_value_heads": null})")}) {
        EXPECT_EQ(read_text(text).n_kv_heads, 32);
    }
    EXPECT_EQ(read_text(changed(R"({"head_dim": null})")).head_dim, 128);
    EXPECT_FALSE(read_text(without("tie_word_embeddings")).tied_embeddings);
    EXPECT_EQ(read_text(without("rope_theta")).ropes[0].theta, 10000.0);
    EXPECT_EQ(read_text(without("rope_scaling")).ropes[0].type, model::RopeType::Default);
    EXPECT_EQ(read_text(changed(R"({"hidden_act": null})")).hidden, 4096);
}

TEST(LlamaConfig, TakesAHeadDimUnlikeHiddenOverHeads) {
    EXPECT_EQ(read_text(changed(R"({"head_dim": 96})")).q_dim(), 32 * 96);
    EXPECT_EQ(read_text(changed(R"({"head_dim": 64, "hidden_size": 4098})")).head_dim, 64);
}

TEST(LlamaConfig, ReadsBiases) {
    const model::ModelConfig config =
        read_text(changed(R"({"attention_bias": true, "mlp_bias": true})"));
    EXPECT_EQ(config.bias, kAttentionLinears | kMlpLinears);
}

TEST(LlamaConfig, ReadsTokensAsOneOrAListOrNone) {
    EXPECT_EQ(read_text(kLlama2).bos, 1);
    EXPECT_EQ(read_text(changed(R"({"bos_token_id": [5, 6]})")).bos, 5);
    for (const char* none : {"null", "-1", "[]"}) {
        const std::string change = R"({"eos_token_id": )" + std::string(none) + "}";
        EXPECT_TRUE(read_text(changed(change.c_str())).eos.empty()) << none;
    }
    EXPECT_EQ(read_text(changed(R"({"eos_token_id": [7, 8, 7]})")).eos,
              (std::vector<int32_t>{7, 8}));
}

TEST(LlamaConfig, WhatIsNotUsedDoesNotRefuse) {
    for (const char* change : {R"({"bos_token_id": -1})", R"({"bos_token_id": 128256})",
                               R"({"bos_token_id": "<s>"})", R"({"pad_token_id": -1})",
                               R"({"auto_map": {"AutoModelForCausalLM": "modeling.Same"}})"}) {
        SCOPED_TRACE(change);
        EXPECT_EQ(read_text(changed(change)).hidden, read_text(kLlama31).hidden);
    }
}

TEST(RopeSpelling, NewAndOldMeanTheSame) {
    const model::RopeConfig newer = read_text(kNewSpelling).ropes[0];
    EXPECT_EQ(newer.type, model::RopeType::Linear);
    EXPECT_EQ(newer.factor, 2.0);
    EXPECT_EQ(newer.theta, 20000.0);
    const model::RopeConfig older =
        read_text(
            changed(
                R"({"rope_parameters": null, "rope_theta": 20000, "rope_scaling": {"type": "linear", "factor": 2}})",
                kNewSpelling))
            .ropes[0];
    EXPECT_EQ(older.type, newer.type);
    EXPECT_EQ(older.factor, newer.factor);
    EXPECT_EQ(older.theta, newer.theta);
}

TEST(RopeSpelling, BothMayStandTogetherIfTheyAgree) {
    const model::RopeConfig rope =
        read_text(
            changed(
                R"({"rope_theta": 20000.0, "rope_scaling": {"rope_type": "linear", "type": "linear", "factor": 2.0}})",
                kNewSpelling))
            .ropes[0];
    EXPECT_EQ(rope.type, model::RopeType::Linear);
    const model::RopeConfig theta_outside =
        read_text(changed(R"({"rope_theta": 7000.0, "rope_parameters": {"rope_type": "default"}})",
                          kNewSpelling))
            .ropes[0];
    EXPECT_EQ(theta_outside.theta, 7000.0);
}

// Beside the object or in it, where it loses.
TEST(Rope, KnowsTheOriginalContextInEitherPlace) {
    const char* yarn = R"({"rope_scaling": {"type": "yarn", "factor": 4.0,
                           "original_max_position_embeddings": 1000}})";
    EXPECT_EQ(read_text(changed(yarn)).ropes[0].original_max_positions, 1000);
    const std::string beside =
        changed(R"({"original_max_position_embeddings": 2000})", changed(yarn).c_str());
    EXPECT_EQ(read_text(beside).ropes[0].original_max_positions, 2000);
}

TEST(Rope, ReachesFurtherThanAContextThatIsTheOriginalOne) {
    const auto positions = [](const char* change) {
        return read_text(changed(change, changed(R"({"max_position_embeddings": 1000})").c_str()))
            .max_positions;
    };
    EXPECT_EQ(positions(R"({"rope_scaling": null})"), 1000);
    EXPECT_EQ(positions(R"({"rope_scaling": {"type": "linear", "factor": 4.0}})"), 1000);
    EXPECT_EQ(positions(R"({"rope_scaling": {"type": "dynamic", "factor": 4.0}})"), 4000);
    EXPECT_EQ(positions(R"({"rope_scaling": {"type": "yarn", "factor": 2.5}})"), 2500);
    EXPECT_EQ(positions(R"({"rope_scaling": {"type": "yarn", "factor": 2.5,
                            "original_max_position_embeddings": 300}})"),
              1000);
    EXPECT_EQ(positions(R"({"rope_scaling": {"type": "dynamic", "factor": 1000000}})"),
              int64_t{1} << 24)
        << "the most that a file may ask for";
}

TEST(Rope, TurnsAPartOfHeads) {
    for (const char* change : {R"({"partial_rotary_factor": 0.25})", R"({"rotary_pct": 0.25})",
                               R"({"rope_parameters": {"partial_rotary_factor": 0.25},
                                   "rope_scaling": null})"}) {
        EXPECT_EQ(read_text(changed(change)).ropes[0].rotary_dim, 32) << change;
    }
    EXPECT_EQ(read_text(kLlama31).ropes[0].rotary_dim, 128);
}

namespace {

// What a model turns by if a run asks for `scaling`.
model::ModelConfig overridden(const std::string& text, const char* scaling) {
    const io::Json config = io::Json::parse(text, "config.json");
    FolderConfig read = read_folder_config(config);
    override_rope(config, io::Json::parse(scaling, "asked"), read);
    return read.model;
}

}  // namespace

// One order of rows serves all layers of a model.
TEST(FolderConfig, RefusesHeadsThatTurnByOtherPartsInSomeLayers) {
    const std::string text = changed(
        R"({"rope_parameters": {"full_attention": {"partial_rotary_factor": 0.5},
                                "sliding_attention": {"partial_rotary_factor": 1.0}}})",
        kGemma3);
    expect_error(ErrorCode::Unsupported, {"config.json", "other parts of heads"},
                 [&] { read_folder_config(io::Json::parse(text, "config.json")); });
}

TEST(RopeOverride, CountsInsteadOfWhatTheFileSays) {
    const char* yarn =
        R"({"type": "yarn", "factor": 2.0, "original_max_position_embeddings": 9000})";
    const model::ModelConfig newer = overridden(kNewSpelling, yarn);
    EXPECT_EQ(newer.ropes[0].type, model::RopeType::Yarn);
    EXPECT_EQ(newer.ropes[0].theta, 20000.0) << "theta stays";
    EXPECT_EQ(newer.max_positions, 18000);
    const std::string beside = changed(R"({"original_max_position_embeddings": 2000,
                                           "partial_rotary_factor": 0.5})");
    const model::ModelConfig older = overridden(beside, yarn);
    EXPECT_EQ(older.ropes[0].original_max_positions, 9000);
    EXPECT_EQ(older.ropes[0].rotary_dim, 64) << "what turns stays";
    EXPECT_EQ(overridden(kLlama31, R"({"type": "default"})").ropes[0].type,
              model::RopeType::Default);
}

TEST(RopeOverride, IsRefusedAsASettingIs) {
    expect_error(ErrorCode::Usage, {"asked", "factor"},
                 [] { overridden(kLlama2, R"({"type": "linear"})"); });
    expect_error(ErrorCode::Usage, {"asked: factor is -1"},
                 [] { overridden(kLlama2, R"({"type": "linear", "factor": -1})"); });
    const io::Json by_layer = io::Json::parse(
        R"({"rope_parameters": {"full_attention": {"rope_type": "default"}}})", "config.json");
    expect_error(ErrorCode::Unsupported, {"rope_parameters", "each kind of layers"},
                 [&] { with_rope_scaling(by_layer, io::Json::Object{}); });
}

TEST(MistralConfig, ReadsFullAttention) {
    const model::ModelConfig config = read_text(kMistral);
    EXPECT_EQ(config.family, "mistral");
    EXPECT_EQ(config.architecture, "MistralForCausalLM");
    EXPECT_EQ(config.q_dim(), 4096);
    EXPECT_EQ(config.hidden, 5120);
    EXPECT_EQ(config.bias, model::RoleSet());
}

TEST(MistralConfig, TakesAWindowThatIsNeverSmallerThanTheContext) {
    EXPECT_NO_THROW(read_text(changed(R"({"sliding_window": 32768})", kMistral)));
    EXPECT_NO_THROW(read_text(changed(R"({"sliding_window": 100000})", kMistral)));
}

TEST(MistralConfig, WithoutAWindowHasItsFamilysOwn) {
    std::string text = kMistral;
    const std::string key = "\"sliding_window\": null, ";
    text.replace(text.find(key), key.size(), "");
    const model::ModelConfig config = read_text(text);
    for (int64_t layer = 0; layer < config.n_layers; ++layer) {
        EXPECT_EQ(config.layer(layer).window, 4096);
    }
}

TEST(Qwen2Config, SlidesInLateLayersOnlyIfItSaysSo) {
    constexpr const char* kChange = R"({"architectures": ["Qwen2ForCausalLM"],
        "num_hidden_layers": 3, "sliding_window": 64, "max_window_layers": 2,
        "use_sliding_window": )";
    EXPECT_TRUE(read_text(changed(std::string(kChange) + "false}")).layers.empty());
    const model::ModelConfig config = read_text(changed(std::string(kChange) + "true}"));
    EXPECT_EQ(config.layer(1).window, 0);
    EXPECT_EQ(config.layer(2).window, 64);
}

// What a file of the 4B model leaves out.
TEST(Gemma3Config, CompletesWhatItsFileLeavesOut) {
    const model::ModelConfig config = read_text(changed(R"({"num_hidden_layers": 12})", kGemma3));
    EXPECT_TRUE(config.tied_embeddings);
    EXPECT_EQ(config.head_dim, 256);
    EXPECT_EQ(config.norm_eps, 1e-6);
    EXPECT_EQ(config.score_scale, 1.0 / 16.0);
    EXPECT_EQ(config.score_cap, 0.0);
    EXPECT_EQ(config.activation, model::Activation::GeluTanh);
    EXPECT_EQ(config.ropes.at(0).theta, 1e6);
    EXPECT_EQ(config.ropes.at(1).theta, 1e4);
    for (int64_t layer = 0; layer < 12; ++layer) {
        const bool slides = layer != 5 && layer != 11;
        EXPECT_EQ(config.layer(layer).window, slides ? 512 : 0) << layer;
        EXPECT_EQ(config.layer(layer).rope, slides ? 1 : 0) << layer;
    }
}

// As the 4B model's file has it, which names neither heads nor vocabulary.
TEST(Gemma3Config, ReadsTheTextOfAModelThatSees) {
    const model::ModelConfig config = read_text(R"({
        "architectures": ["Gemma3ForConditionalGeneration"], "eos_token_id": [1, 106],
        "text_config": {"hidden_size": 2560, "intermediate_size": 10240,
                        "model_type": "gemma3_text", "num_hidden_layers": 34,
                        "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
                        "sliding_window": 1024}, "vision_config": {"hidden_size": 1152}})");
    EXPECT_EQ(config.n_heads, 8);
    EXPECT_EQ(config.n_kv_heads, 4);
    EXPECT_EQ(config.vocab, 262208);
    EXPECT_EQ(config.max_positions, 131072);
    EXPECT_EQ(config.eos, (std::vector<int32_t>{1, 106}));
    EXPECT_EQ(config.ropes.at(0).type, model::RopeType::Linear);
    EXPECT_EQ(config.ropes.at(0).factor, 8.0);
    EXPECT_EQ(config.ropes.at(1).type, model::RopeType::Default);
    EXPECT_EQ(config.layer(0).window, 1024);
}

TEST(SmolLm3Config, HasNoRopeInEveryFourthLayer) {
    const model::ModelConfig config = read_text(changed(R"({"num_hidden_layers": 8})", kSmolLm3));
    EXPECT_TRUE(config.tied_embeddings);
    EXPECT_EQ(config.ropes.at(0).theta, 2e6);
    for (int64_t layer = 0; layer < 8; ++layer) {
        EXPECT_EQ(config.layer(layer).rope, layer % 4 == 3 ? -1 : 0) << layer;
    }
}

TEST(StoredNames, AreThoseOfLlama) {
    const auto name = [](model::LinearRole role) { return linear_name({role, 7}); };
    EXPECT_EQ(name(model::LinearRole::Q), "model.layers.7.self_attn.q_proj");
    EXPECT_EQ(name(model::LinearRole::K), "model.layers.7.self_attn.k_proj");
    EXPECT_EQ(name(model::LinearRole::V), "model.layers.7.self_attn.v_proj");
    EXPECT_EQ(name(model::LinearRole::O), "model.layers.7.self_attn.o_proj");
    EXPECT_EQ(name(model::LinearRole::Gate), "model.layers.7.mlp.gate_proj");
    EXPECT_EQ(name(model::LinearRole::Up), "model.layers.7.mlp.up_proj");
    EXPECT_EQ(name(model::LinearRole::Down), "model.layers.7.mlp.down_proj");
    EXPECT_EQ(name(model::LinearRole::LmHead), "lm_head");
    model::ModelConfig config;
    const auto norm = [&](model::NormRole role) { return norm_name(role, 7, config); };
    EXPECT_EQ(norm(model::NormRole::AttentionIn), "model.layers.7.input_layernorm.weight");
    EXPECT_EQ(norm(model::NormRole::MlpIn), "model.layers.7.post_attention_layernorm.weight");
    EXPECT_EQ(norm(model::NormRole::Query), "model.layers.7.self_attn.q_norm.weight");
    EXPECT_EQ(norm(model::NormRole::Key), "model.layers.7.self_attn.k_norm.weight");
    EXPECT_EQ(norm(model::NormRole::Final), "model.norm.weight");
    config.norms = config.norms | model::NormSet{model::NormRole::AttentionOut};
    EXPECT_EQ(norm(model::NormRole::AttentionOut),
              "model.layers.7.post_attention_layernorm.weight");
    EXPECT_EQ(norm(model::NormRole::MlpIn), "model.layers.7.pre_feedforward_layernorm.weight");
    EXPECT_EQ(norm(model::NormRole::MlpOut), "model.layers.7.post_feedforward_layernorm.weight");
    EXPECT_EQ(norm_bias_name(model::NormRole::Final, 7, config), "model.norm.bias");
    EXPECT_EQ(linear_name({model::LinearRole::Embedding}), "model.embed_tokens");
    EXPECT_EQ(linear_name({model::LinearRole::Positions}), "model.embed_positions");
}

// Those with a bias keep it in the cache as they did; the others have nothing to say of it.
TEST(FolderConfig, OfVersion1DiffersFromItsRecipeOnlyWhereKeysHaveABias) {
    const Recipe named = named_recipe("quarot-rtn");
    io::Json recipe = to_json(named);
    recipe.set("format_version", int64_t{1});
    const auto changes = [&](const char* bias) {
        io::Json config = io::Json::parse(changed(bias), "config.json");
        config.set("quantization_config", recipe);
        return changed_settings(named, read_folder_config(config).recipe);
    };
    EXPECT_TRUE(changes(R"({"attention_bias": false})").empty());
    ASSERT_EQ(changes(R"({"attention_bias": true})").size(), 1u);
    EXPECT_EQ(changes(R"({"attention_bias": true})").front().key, "k_bias");
}

// Heads of 4 rows each, q, k and v of a head one below the other.
TEST(TensorSlice, BlocksWithAStrideAreRunsOfRows) {
    const TensorSlice k = {.name = "fused", .first_row = 4, .block = 4, .stride = 12};
    EXPECT_EQ(k.row(0), 4);
    EXPECT_EQ(k.row(3), 7);
    EXPECT_EQ(k.row(4), 16);
    const auto text = [&](int64_t first, int64_t n) {
        std::string list;
        for (const RowRun& run : runs_of(k, first, n)) {
            list += fmt::format("{}+{} ", run.first, run.count);
        }
        return list;
    };
    EXPECT_EQ(text(0, 8), "4+4 16+4 ");
    EXPECT_EQ(text(2, 7), "6+2 16+4 28+1 ");
    EXPECT_EQ(text(5, 0), "");
    const TensorSlice touching = {.name = "fused", .block = 4, .stride = 4};
    EXPECT_EQ(runs_of(touching, 1, 9).size(), 1u);
}

}  // namespace quarot::folder
