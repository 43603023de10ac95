// What is said about a config.json that is not understood.
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "folder/config_texts_for_tests.h"

namespace quarot::folder {

namespace {

struct BadConfig {
    std::string text;
    ErrorCode code;
    std::vector<std::string> words;  // all of them stand in the message
};

void expect_refused(const BadConfig& bad) {
    try {
        read_text(bad.text);
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

TEST(BadConfig, FeaturesWeLackAreNamed) {
    constexpr ErrorCode kUnsupported = ErrorCode::Unsupported;
    const std::vector<BadConfig> cases = {
        {changed(R"({"architectures": ["GPT2LMHeadModel"]})"),
         kUnsupported,
         {"GPT2LMHeadModel", "LlamaForCausalLM", "MistralForCausalLM"}},
        {changed(R"({"auto_map": {"AutoModel": "modeling.Evil"}, "architectures": ["EvilLM"]})"),
         kUnsupported,
         {"auto_map", "EvilLM", "never run", "LlamaForCausalLM"}},
        {changed(R"({"hidden_act": "relu6"})"), kUnsupported, {"hidden_act", "relu6", "silu"}},
        {changed(R"({"use_bidirectional_attention": true})", kGemma3),
         kUnsupported,
         {"use_bidirectional_attention"}},
        {changed(R"({"layer_types": ["full_attention", "chunked_attention"]})", kGemma3),
         kUnsupported,
         {"layer_types", "chunked_attention", "sliding_attention"}},
        {changed(R"({"rope_scaling": {"type": "proportional", "factor": 2.0}})"),
         kUnsupported,
         {"rope_scaling", "proportional", "default, linear, dynamic, yarn, llama3, longrope, su"}},
        {changed(R"({"rope_scaling": {"rope_type": "yarn", "factor": 2.0, "truncate": false}})"),
         kUnsupported,
         {"rope_scaling.truncate is false"}},
        {changed(R"({"rope_scaling": null, "rope_parameters": {"full_attention": {}}})"),
         kUnsupported,
         {"rope_parameters", "each kind of layers"}},
        {changed(R"({"rope_scaling": {"type": "su", "long_mscale": 1.2}})"),
         kUnsupported,
         {"rope_scaling.long_mscale", "attention_factor"}},
        {changed(R"({"partial_rotary_factor": 0.09, "rope_scaling": null})"),
         kUnsupported,
         {"partial_rotary_factor is 0.09", "11 of 128", "pairs"}},
        {changed(R"({"partial_rotary_factor": 0.01, "rope_scaling": null})"),
         kUnsupported,
         {"partial_rotary_factor is 0.01", "1 of 128"}},
        {changed(R"({"partial_rotary_factor": 0.016, "rope_scaling": {"type": "dynamic",
                     "factor": 2.0}})"),
         kUnsupported,
         {"dynamic", "2 turning values"}},
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
        {changed(R"({"rope_scaling": {"factor": 4.0}})"),
         kCorrupt,
         {"rope_scaling", "factor", "rope_type"}},
        {changed(R"({"rms_norm_eps": 0})"), kCorrupt, {"rms_norm_eps is 0"}},
        {changed(R"({"rms_norm_eps": 0.5})"), kCorrupt, {"rms_norm_eps is 0.5", "0.1"}},
        {changed(R"({"rms_norm_eps": "1e-5"})"), kCorrupt, {"rms_norm_eps is a string"}},
        {changed(R"({"rope_theta": 1})"), kCorrupt, {"rope_theta is 1,"}},
        {changed(R"({"rope_theta": -10000.0})"), kCorrupt, {"rope_theta"}},
        {changed(R"({"rope_theta": 1e13})"), kCorrupt, {"rope_theta"}},
        {changed(R"({"tie_word_embeddings": 1})"), kCorrupt, {"tie_word_embeddings is an integer"}},
        {changed(R"({"attention_bias": "no"})"), kCorrupt, {"attention_bias is a string"}},
        {changed(R"({"hidden_act": 3})"), kCorrupt, {"hidden_act is an integer"}},
        {changed(R"({"eos_token_id": -2})"), kCorrupt, {"eos_token_id is -2"}},
        {changed(R"({"eos_token_id": [1, -1]})"), kCorrupt, {"eos_token_id"}},
        {changed(R"({"eos_token_id": ["</s>"]})"), kCorrupt, {"eos_token_id", "string"}},
        {changed(R"({"sliding_window": 0})", kMistral), kCorrupt, {"sliding_window is 0"}},
        {changed(R"({"layer_types": ["full_attention"]})", kGemma3),
         kCorrupt,
         {"layer_types", "1 entries", "2 layers"}},
        {changed(R"({"layer_types": [1, 2]})", kGemma3), kCorrupt, {"layer_types"}},
        {changed(R"({"sliding_window_pattern": 0})", kGemma3),
         kCorrupt,
         {"sliding_window_pattern is 0"}},
        {changed(R"({"query_pre_attn_scalar": -1})", kGemma3),
         kCorrupt,
         {"query_pre_attn_scalar is -1"}},
        {changed(R"({"final_logit_softcapping": -30.0})", kGemma3),
         kCorrupt,
         {"final_logit_softcapping is -30"}},
        {changed(R"({"rope_parameters": {"full_attention": {"rope_type": "default"}}})", kGemma3),
         kCorrupt,
         {"sliding_attention"}},
        {changed(R"({"no_rope_layers": [1]})", kSmolLm3),
         kCorrupt,
         {"no_rope_layers", "1 entries", "2 layers"}},
        {changed(R"({"no_rope_layers": [1, 2]})", kSmolLm3), kCorrupt, {"no_rope_layers"}},
        {changed(R"({"residual_multiplier": 0})", kGranite),
         kCorrupt,
         {"residual_multiplier is 0"}},
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
        {changed(R"({"rope_scaling": {"type": "dynamic", "factor": 0.5}})"),
         kCorrupt,
         {"rope_scaling.factor is 0.5"}},
        {changed(R"({"rope_scaling": {"type": "yarn"}})"), kCorrupt, {"rope_scaling", "factor"}},
        {changed(R"({"rope_scaling": {"type": "yarn", "factor": 4.0, "beta_fast": 0.5}})"),
         kCorrupt,
         {"beta_fast 0.5", "beta_slow 1", "fast >= slow"}},
        {changed(R"({"rope_scaling": {"type": "yarn", "factor": 4.0, "mscale": -1.0}})"),
         kCorrupt,
         {"mscale is -1"}},
        {changed(R"({"rope_scaling": {"type": "longrope", "short_factor": [1.0],
                     "long_factor": [1.0], "original_max_position_embeddings": 4096}})"),
         kCorrupt,
         {"rope_scaling.short_factor has 1 numbers", "expected 64", "128"}},
        {changed(R"({"rope_scaling": {"type": "longrope", "short_factor": [0.0, 1.0],
                     "long_factor": [1.0, 1.0], "original_max_position_embeddings": 4096},
                     "head_dim": 4})"),
         kCorrupt,
         {"short_factor[0] is 0"}},
        {changed(R"({"rope_scaling": {"type": "longrope", "short_factor": [1.0, 1.0],
                     "long_factor": [1.0, 1.0]}, "head_dim": 4})"),
         kCorrupt,
         {"rope_scaling", "original_max_position_embeddings"}},
        {changed(R"({"rope_scaling": {"type": "longrope", "short_factor": [1.0, 1.0],
                     "long_factor": [1.0, 1.0]}, "head_dim": 4,
                     "original_max_position_embeddings": 1})"),
         kCorrupt,
         {"original_max_position_embeddings"}},
        {changed(R"({"partial_rotary_factor": 1.5})"), kCorrupt, {"partial_rotary_factor is 1.5"}},
        {changed(R"({"partial_rotary_factor": 0.5, "rope_parameters": {"partial_rotary_factor":
                     0.25}})"),
         kCorrupt,
         {"partial_rotary_factor is 0.5", "0.25", "agree"}},
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

TEST(BadConfig, AnyChangeOfBytesIsReadOrRefused) {
    std::mt19937 random(7);
    int n_read = 0;
    for (int round = 0; round < 5000; ++round) {
        std::string text = round % 2 == 0 ? kLlama31 : kNewSpelling;
        for (uint32_t change = random() % 4; change < 4; ++change) {
            constexpr std::string_view kBytes = "0123456789-.eE[]{}\",:ntf\x80";
            text[random() % text.size()] = kBytes[random() % kBytes.size()];
        }
        try {
            const model::ModelConfig config = read_text(text);
            ++n_read;
            EXPECT_GT(config.q_dim(), 0) << text;
            EXPECT_EQ(config.n_heads % config.n_kv_heads, 0) << text;
        } catch (const Error& error) {
            EXPECT_NE(error.code(), ErrorCode::Internal) << text;
        }
    }
    EXPECT_GT(n_read, 100) << "most changes break the JSON, but not all";
}

}  // namespace quarot::folder
