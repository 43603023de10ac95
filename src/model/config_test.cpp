// Which config.json texts are understood, and what is said about the others.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "core/error.h"
#include "model/families/family.h"

namespace quarot::model {

namespace {

ModelConfig read(const std::string& text) {
    const io::Json json = io::Json::parse(text, "config.json");
    return family_of(json).read_config(json);
}

constexpr const char* kLlama2 = R"({
  "architectures": ["LlamaForCausalLM"], "bos_token_id": 1, "eos_token_id": 2,
  "hidden_act": "silu", "hidden_size": 4096, "initializer_range": 0.02,
  "intermediate_size": 11008, "max_position_embeddings": 4096, "model_type": "llama",
  "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 32,
  "pretraining_tp": 1, "rms_norm_eps": 1e-05, "rope_scaling": null,
  "tie_word_embeddings": false, "torch_dtype": "float16", "use_cache": true, "vocab_size": 32000
})";

constexpr const char* kLlama3 = R"({
  "architectures": ["LlamaForCausalLM"], "attention_bias": false, "bos_token_id": 128000,
  "eos_token_id": 128001, "hidden_act": "silu", "hidden_size": 8192,
  "intermediate_size": 28672, "max_position_embeddings": 8192, "model_type": "llama",
  "num_attention_heads": 64, "num_hidden_layers": 80, "num_key_value_heads": 8,
  "rms_norm_eps": 1e-05, "rope_scaling": null, "rope_theta": 500000.0,
  "tie_word_embeddings": false, "torch_dtype": "bfloat16", "vocab_size": 128256
})";

constexpr const char* kLlama31 = R"({
  "architectures": ["LlamaForCausalLM"], "attention_bias": false, "bos_token_id": 128000,
  "eos_token_id": [128001, 128008, 128009], "hidden_act": "silu", "hidden_size": 4096,
  "intermediate_size": 14336, "max_position_embeddings": 131072, "mlp_bias": false,
  "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 8,
  "rms_norm_eps": 1e-05,
  "rope_scaling": {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                   "original_max_position_embeddings": 8192, "rope_type": "llama3"},
  "rope_theta": 500000.0, "tie_word_embeddings": false, "vocab_size": 128256
})";

constexpr const char* kLlama32 = R"({
  "architectures": ["LlamaForCausalLM"], "bos_token_id": 128000, "eos_token_id": 128001,
  "head_dim": 64, "hidden_act": "silu", "hidden_size": 2048, "intermediate_size": 8192,
  "max_position_embeddings": 131072, "num_attention_heads": 32, "num_hidden_layers": 16,
  "num_key_value_heads": 8, "rms_norm_eps": 1e-05,
  "rope_scaling": {"factor": 32.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
                   "original_max_position_embeddings": 8192, "rope_type": "llama3"},
  "rope_theta": 500000.0, "tie_word_embeddings": true, "vocab_size": 128256
})";

constexpr const char* kTinyLlama = R"({
  "architectures": ["LlamaForCausalLM"], "bos_token_id": 1, "eos_token_id": 2,
  "hidden_act": "silu", "hidden_size": 2048, "intermediate_size": 5632,
  "max_position_embeddings": 2048, "num_attention_heads": 32, "num_hidden_layers": 22,
  "num_key_value_heads": 4, "rms_norm_eps": 1e-05, "rope_scaling": null,
  "tie_word_embeddings": false, "vocab_size": 32000
})";

constexpr const char* kSmolLm2 = R"({
  "architectures": ["LlamaForCausalLM"], "attention_bias": false, "bos_token_id": 1,
  "eos_token_id": 2, "hidden_act": "silu", "hidden_size": 576, "intermediate_size": 1536,
  "max_position_embeddings": 8192, "mlp_bias": false, "num_attention_heads": 9,
  "num_hidden_layers": 30, "num_key_value_heads": 3, "rms_norm_eps": 1e-05,
  "rope_interleaved": false, "rope_scaling": null, "rope_theta": 100000,
  "tie_word_embeddings": true, "vocab_size": 49152
})";

constexpr const char* kMistral = R"({
  "architectures": ["MistralForCausalLM"], "bos_token_id": 1, "eos_token_id": 2,
  "head_dim": 128, "hidden_act": "silu", "hidden_size": 5120, "intermediate_size": 14336,
  "max_position_embeddings": 32768, "num_attention_heads": 32, "num_hidden_layers": 40,
  "num_key_value_heads": 8, "rms_norm_eps": 1e-05, "rope_theta": 1000000.0,
  "sliding_window": null, "tie_word_embeddings": false, "vocab_size": 131072
})";

constexpr const char* kNewSpelling = R"({
  "architectures": ["LlamaForCausalLM"], "bos_token_id": 0, "dtype": "bfloat16",
  "eos_token_id": 1, "head_dim": 64, "hidden_act": "silu", "hidden_size": 256,
  "intermediate_size": 768, "max_position_embeddings": 2048, "num_attention_heads": 4,
  "num_hidden_layers": 8, "num_key_value_heads": 2, "rms_norm_eps": 1e-05,
  "rope_parameters": {"rope_theta": 20000.0, "rope_type": "linear", "factor": 2.0},
  "tie_word_embeddings": false, "vocab_size": 4096
})";

// kLlama31 with members set (or removed by a null) as in `changes`, an object.
std::string changed(const std::string& changes, const char* base = kLlama31) {
    io::Json json = io::Json::parse(base, "base");
    const io::Json wanted = io::Json::parse(changes, "changes");
    for (const auto& [key, value] : wanted.as_object()) json.set(key, value);
    return json.dump();
}

std::string without(const std::string& key) {
    io::Json json = io::Json::parse(kLlama31, "base");
    std::erase_if(json.as_object(), [&](const auto& member) { return member.first == key; });
    return json.dump();
}

struct BadConfig {
    std::string text;
    ErrorCode code;
    std::vector<std::string> words;  // all of them stand in the message
};

void expect_refused(const BadConfig& bad) {
    try {
        read(bad.text);
        ADD_FAILURE() << "accepted: " << bad.text;
    } catch (const Error& error) {
        const std::string message = error.what();
        EXPECT_EQ(error.code(), bad.code) << message;
        EXPECT_NE(message.find("config.json"), std::string::npos) << message;
        for (const std::string& word : bad.words) {
            EXPECT_NE(message.find(word), std::string::npos) << word << " in: " << message;
        }
    }
}

}  // namespace

TEST(LlamaConfig, ReadsLlama2) {
    const ModelConfig config = read(kLlama2);
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
    EXPECT_EQ(config.rms_eps, 1e-5);
    EXPECT_EQ(config.rope.type, RopeType::Default);
    EXPECT_EQ(config.rope.theta, 10000.0);
    EXPECT_FALSE(config.tied_embeddings || config.attention_bias || config.mlp_bias);
    EXPECT_EQ(config.bos, 1);
    EXPECT_EQ(config.eos, std::vector<int32_t>{2});
}

TEST(LlamaConfig, ReadsLlama3) {
    const ModelConfig config = read(kLlama3);
    EXPECT_EQ(config.kv_dim(), 1024);
    EXPECT_EQ(config.q_dim(), 8192);
    EXPECT_EQ(config.rope.theta, 500000.0);
    EXPECT_EQ(config.rope.type, RopeType::Default);
    EXPECT_EQ(config.n_layers, 80);
}

TEST(LlamaConfig, ReadsLlama31sRopeAndEndTokens) {
    const ModelConfig config = read(kLlama31);
    EXPECT_EQ(config.rope.type, RopeType::Llama3);
    EXPECT_EQ(config.rope.factor, 8.0);
    EXPECT_EQ(config.rope.low_freq_factor, 1.0);
    EXPECT_EQ(config.rope.high_freq_factor, 4.0);
    EXPECT_EQ(config.rope.original_max_positions, 8192);
    EXPECT_EQ(config.max_positions, 131072);
    EXPECT_EQ(config.eos, (std::vector<int32_t>{128001, 128008, 128009}));
}

TEST(LlamaConfig, ReadsTiedModels) {
    const ModelConfig llama = read(kLlama32);
    EXPECT_TRUE(llama.tied_embeddings);
    EXPECT_EQ(llama.rope.factor, 32.0);
    const ModelConfig smol = read(kSmolLm2);
    EXPECT_TRUE(smol.tied_embeddings);
    EXPECT_EQ(smol.head_dim, 64);
    EXPECT_EQ(smol.n_heads, 9);
    EXPECT_EQ(smol.rope.theta, 100000.0) << "an integer is a number too";
}

TEST(LlamaConfig, ReadsTinyLlama) {
    const ModelConfig config = read(kTinyLlama);
    EXPECT_EQ(config.n_kv_heads, 4);
    EXPECT_EQ(config.head_dim, 64);
}

TEST(LlamaConfig, KnowsDefaultsOfAbsentAndNullKeys) {
    for (const std::string& text :
         {without("num_key_value_heads"), changed(R"({"num_key_value_heads": null})")}) {
        EXPECT_EQ(read(text).n_kv_heads, 32);
    }
    EXPECT_EQ(read(changed(R"({"head_dim": null})")).head_dim, 128);
    EXPECT_FALSE(read(without("tie_word_embeddings")).tied_embeddings);
    EXPECT_EQ(read(without("rope_theta")).rope.theta, 10000.0);
    EXPECT_EQ(read(without("rope_scaling")).rope.type, RopeType::Default);
    EXPECT_EQ(read(changed(R"({"hidden_act": null})")).hidden, 4096);
}

TEST(LlamaConfig, TakesAHeadDimUnlikeHiddenOverHeads) {
    EXPECT_EQ(read(changed(R"({"head_dim": 96})")).q_dim(), 32 * 96);
    EXPECT_EQ(read(changed(R"({"head_dim": 64, "hidden_size": 4098})")).head_dim, 64);
}

TEST(LlamaConfig, ReadsBiases) {
    const ModelConfig config = read(changed(R"({"attention_bias": true, "mlp_bias": true})"));
    EXPECT_TRUE(config.attention_bias && config.mlp_bias);
}

TEST(LlamaConfig, ReadsTokensAsOneOrAListOrNone) {
    const ModelConfig none = read(changed(R"({"bos_token_id": null, "eos_token_id": null})"));
    EXPECT_EQ(none.bos, -1);
    EXPECT_TRUE(none.eos.empty());
    const ModelConfig lists =
        read(changed(R"({"bos_token_id": [5, 6], "eos_token_id": [7, 8, 7]})"));
    EXPECT_EQ(lists.bos, 5);
    EXPECT_EQ(lists.eos, (std::vector<int32_t>{7, 8}));
}

TEST(RopeSpelling, NewAndOldMeanTheSame) {
    const RopeConfig newer = read(kNewSpelling).rope;
    EXPECT_EQ(newer.type, RopeType::Linear);
    EXPECT_EQ(newer.factor, 2.0);
    EXPECT_EQ(newer.theta, 20000.0);
    const RopeConfig older =
        read(
            changed(
                R"({"rope_parameters": null, "rope_theta": 20000, "rope_scaling": {"type": "linear", "factor": 2}})",
                kNewSpelling))
            .rope;
    EXPECT_EQ(older.type, newer.type);
    EXPECT_EQ(older.factor, newer.factor);
    EXPECT_EQ(older.theta, newer.theta);
}

TEST(RopeSpelling, BothMayStandTogetherIfTheyAgree) {
    const RopeConfig rope =
        read(
            changed(
                R"({"rope_theta": 20000.0, "rope_scaling": {"rope_type": "linear", "type": "linear", "factor": 2.0}})",
                kNewSpelling))
            .rope;
    EXPECT_EQ(rope.type, RopeType::Linear);
    const RopeConfig theta_outside =
        read(changed(R"({"rope_theta": 7000.0, "rope_parameters": {"rope_type": "default"}})",
                     kNewSpelling))
            .rope;
    EXPECT_EQ(theta_outside.theta, 7000.0);
}

TEST(MistralConfig, ReadsFullAttention) {
    const ModelConfig config = read(kMistral);
    EXPECT_EQ(config.family, "mistral");
    EXPECT_EQ(config.architecture, "MistralForCausalLM");
    EXPECT_EQ(config.q_dim(), 4096);
    EXPECT_EQ(config.hidden, 5120);
    EXPECT_FALSE(config.attention_bias);
}

TEST(MistralConfig, TakesAWindowThatIsNeverSmallerThanTheContext) {
    EXPECT_NO_THROW(read(changed(R"({"sliding_window": 32768})", kMistral)));
    EXPECT_NO_THROW(read(changed(R"({"sliding_window": 100000})", kMistral)));
    expect_refused({changed(R"({"sliding_window": 4096})", kMistral),
                    ErrorCode::Unsupported,
                    {"sliding_window is 4096", "max_position_embeddings", "32768"}});
}

TEST(BadConfig, FeaturesWeLackAreNamed) {
    constexpr ErrorCode kUnsupported = ErrorCode::Unsupported;
    const std::vector<BadConfig> cases = {
        {changed(R"({"architectures": ["GPT2LMHeadModel"]})"),
         kUnsupported,
         {"GPT2LMHeadModel", "LlamaForCausalLM", "MistralForCausalLM"}},
        {changed(R"({"auto_map": {"AutoModel": "modeling.Evil"}})"),
         kUnsupported,
         {"auto_map", "never run", "LlamaForCausalLM"}},
        {changed(R"({"hidden_act": "gelu"})"), kUnsupported, {"hidden_act", "gelu", "silu"}},
        {changed(R"({"partial_rotary_factor": 0.5})"), kUnsupported, {"partial_rotary_factor"}},
        {changed(R"({"rope_scaling": {"type": "dynamic", "factor": 2.0}})"),
         kUnsupported,
         {"rope_scaling", "dynamic", "default, linear and llama3"}},
        {changed(R"({"rope_scaling": {"rope_type": "yarn", "factor": 2.0}})"),
         kUnsupported,
         {"yarn"}},
        {changed(R"({"rope_parameters": {"rope_type": "longrope"}, "rope_scaling": null})"),
         kUnsupported,
         {"rope_parameters", "longrope"}},
        {changed(R"({"rope_parameters": {"partial_rotary_factor": 0.25}, "rope_scaling": null})"),
         kUnsupported,
         {"partial_rotary_factor is 0.25"}},
    };
    for (const BadConfig& bad : cases) expect_refused(bad);
}

TEST(BadConfig, MissingKeysAreNamed) {
    for (const char* key :
         {"architectures", "hidden_size", "intermediate_size", "num_hidden_layers",
          "num_attention_heads", "vocab_size", "max_position_embeddings", "rms_norm_eps"}) {
        expect_refused({without(key), ErrorCode::Corrupt, {key}});
    }
}

TEST(BadConfig, ValuesOutOfRangeAreNamedWithTheRange) {
    constexpr ErrorCode kCorrupt = ErrorCode::Corrupt;
    const std::vector<BadConfig> cases = {
        {changed(R"({"architectures": []})"), kCorrupt, {"architectures", "0 entries"}},
        {changed(R"({"architectures": "LlamaForCausalLM"})"), kCorrupt, {"architectures", "array"}},
        {changed(R"({"hidden_size": 0})"), kCorrupt, {"hidden_size is 0", "1048576"}},
        {changed(R"({"hidden_size": -4096})"), kCorrupt, {"hidden_size is -4096"}},
        {changed(R"({"hidden_size": 1048577})"), kCorrupt, {"hidden_size is 1048577"}},
        {changed(R"({"hidden_size": 4096.5})"), kCorrupt, {"hidden_size", "an integer"}},
        {changed(R"({"hidden_size": "4096"})"), kCorrupt, {"hidden_size is a string"}},
        {changed(R"({"hidden_size": 99999999999999999999})"), kCorrupt, {"hidden_size"}},
        {changed(R"({"hidden_size": 4100})"), kCorrupt, {"hidden_size", "4100", "32", "head_dim"}},
        {changed(R"({"intermediate_size": 0})"), kCorrupt, {"intermediate_size"}},
        {changed(R"({"intermediate_size": 9223372036854775807})"), kCorrupt, {"intermediate_size"}},
        {changed(R"({"num_hidden_layers": 1025})"), kCorrupt, {"num_hidden_layers is 1025"}},
        {changed(R"({"num_attention_heads": 0})"), kCorrupt, {"num_attention_heads is 0"}},
        {changed(R"({"num_attention_heads": 4097})"), kCorrupt, {"num_attention_heads is 4097"}},
        {changed(R"({"num_key_value_heads": 0})"), kCorrupt, {"num_key_value_heads is 0"}},
        {changed(R"({"num_key_value_heads": 7})"),
         kCorrupt,
         {"num_key_value_heads is 7", "divisor", "32"}},
        {changed(R"({"head_dim": 127})"), kCorrupt, {"head_dim", "127", "even"}},
        {changed(R"({"head_dim": 2048})"), kCorrupt, {"head_dim is 2048", "1024"}},
        {changed(R"({"num_attention_heads": 4096, "num_key_value_heads": 4096})"),
         kCorrupt,
         {"hidden_size", "heads of 1 values", "even"}},
        {changed(R"({"vocab_size": 4194305})"), kCorrupt, {"vocab_size is 4194305"}},
        {changed(R"({"vocab_size": true})"), kCorrupt, {"vocab_size is a boolean"}},
        {changed(R"({"max_position_embeddings": 0})"), kCorrupt, {"max_position_embeddings"}},
        {changed(R"({"max_position_embeddings": 1e30})"), kCorrupt, {"max_position_embeddings"}},
        {changed(R"({"rms_norm_eps": 0})"), kCorrupt, {"rms_norm_eps is 0"}},
        {changed(R"({"rms_norm_eps": 0.5})"), kCorrupt, {"rms_norm_eps is 0.5", "0.1"}},
        {changed(R"({"rms_norm_eps": "1e-5"})"), kCorrupt, {"rms_norm_eps is a string"}},
        {changed(R"({"rope_theta": 1})"), kCorrupt, {"rope_theta is 1,"}},
        {changed(R"({"rope_theta": -10000.0})"), kCorrupt, {"rope_theta"}},
        {changed(R"({"rope_theta": 1e13})"), kCorrupt, {"rope_theta"}},
        {changed(R"({"tie_word_embeddings": 1})"), kCorrupt, {"tie_word_embeddings is an integer"}},
        {changed(R"({"attention_bias": "no"})"), kCorrupt, {"attention_bias is a string"}},
        {changed(R"({"hidden_act": 3})"), kCorrupt, {"hidden_act is an integer"}},
        {changed(R"({"bos_token_id": 128256})"), kCorrupt, {"bos_token_id is 128256"}},
        {changed(R"({"bos_token_id": -1})"), kCorrupt, {"bos_token_id is -1"}},
        {changed(R"({"eos_token_id": -2})"), kCorrupt, {"eos_token_id is -2"}},
        {changed(R"({"eos_token_id": ["</s>"]})"), kCorrupt, {"eos_token_id", "string"}},
        {changed(R"({"sliding_window": 0})", kMistral), kCorrupt, {"sliding_window is 0"}},
    };
    for (const BadConfig& bad : cases) expect_refused(bad);
}

TEST(BadConfig, LongListsOfEndTokensAreRefused) {
    io::Json json = io::Json::parse(kLlama31, "base");
    io::Json::Array tokens;
    for (int token = 0; token < 300; ++token) tokens.emplace_back(token);
    json.set("eos_token_id", tokens);
    expect_refused({json.dump(), ErrorCode::Corrupt, {"eos_token_id", "300 tokens"}});
}

TEST(BadConfig, RopeMustBeCompleteAndOfOneMind) {
    constexpr ErrorCode kCorrupt = ErrorCode::Corrupt;
    const std::vector<BadConfig> cases = {
        {changed(R"({"rope_scaling": {"type": "linear"}})"), kCorrupt, {"rope_scaling", "factor"}},
        {changed(R"({"rope_scaling": {"type": "linear", "factor": 0}})"),
         kCorrupt,
         {"rope_scaling.factor is 0"}},
        {changed(R"({"rope_scaling": {"type": "linear", "factor": -2.0}})"),
         kCorrupt,
         {"rope_scaling.factor is -2"}},
        {changed(R"({"rope_scaling": {"type": "linear", "factor": "2"}})"),
         kCorrupt,
         {"rope_scaling.factor is a string"}},
        {changed(R"({"rope_scaling": {"rope_type": "llama3", "factor": 8.0}})"),
         kCorrupt,
         {"low_freq_factor"}},
        {changed(R"({"rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 4.0,
                     "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}})"),
         kCorrupt,
         {"rope_scaling", "low < high"}},
        {changed(R"({"rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
                     "high_freq_factor": 4.0, "original_max_position_embeddings": 0}})"),
         kCorrupt,
         {"original_max_position_embeddings is 0"}},
        {changed(R"({"rope_scaling": {"rope_type": "linear", "type": "default", "factor": 2.0}})"),
         kCorrupt,
         {"linear", "default", "agree"}},
        {changed(R"({"rope_scaling": "linear"})"), kCorrupt, {"rope_scaling", "string"}},
        {changed(R"({"rope_scaling": {"type": 3}})"), kCorrupt, {"rope_scaling.type"}},
        {changed(R"({"rope_theta": 10000.0})", kNewSpelling),
         kCorrupt,
         {"rope_theta is 10000", "20000", "agree"}},
        {changed(R"({"rope_scaling": {"type": "linear", "factor": 4.0}})", kNewSpelling),
         kCorrupt,
         {"rope_scaling", "rope_parameters", "different"}},
        {changed(R"({"rope_scaling": {"type": "default"}})", kNewSpelling),
         kCorrupt,
         {"different"}},
    };
    for (const BadConfig& bad : cases) expect_refused(bad);
}

TEST(Families, NameTensorsAsTheFilesDo) {
    for (const Family& family : families()) {
        const ModelConfig config;
        const auto name = [&](LinearRole role) { return family.linear({role, 7}, config).name; };
        EXPECT_EQ(name(LinearRole::Q), "model.layers.7.self_attn.q_proj");
        EXPECT_EQ(name(LinearRole::K), "model.layers.7.self_attn.k_proj");
        EXPECT_EQ(name(LinearRole::V), "model.layers.7.self_attn.v_proj");
        EXPECT_EQ(name(LinearRole::O), "model.layers.7.self_attn.o_proj");
        EXPECT_EQ(name(LinearRole::Gate), "model.layers.7.mlp.gate_proj");
        EXPECT_EQ(name(LinearRole::Up), "model.layers.7.mlp.up_proj");
        EXPECT_EQ(name(LinearRole::Down), "model.layers.7.mlp.down_proj");
        EXPECT_EQ(name(LinearRole::LmHead), "lm_head");
        EXPECT_EQ(family.norm(NormRole::Attention, 7), "model.layers.7.input_layernorm.weight");
        EXPECT_EQ(family.norm(NormRole::Mlp, 7), "model.layers.7.post_attention_layernorm.weight");
        EXPECT_EQ(family.norm(NormRole::Final, 0), "model.norm.weight");
        EXPECT_EQ(family.embedding, "model.embed_tokens.weight");
    }
}

}  // namespace quarot::model
