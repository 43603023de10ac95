// Every value of config.json and generation_config.json beyond its range or of another kind.
#include <filesystem>

#include "e2e/broken_model.h"
#include "e2e/model_surgery.h"

namespace quarot::test {
namespace {

BrokenModel value(const char* name, const std::string& key, const io::Json& json,
                  int exit_code = kCorrupt) {
    return {name, config(key, json), exit_code, {"config.json", key}};
}

BrokenModel without(const char* name, const std::string& key) {
    return {name,
            [=](const std::string& folder) {
                edit_json(folder + "/config.json",
                          [&](io::Json& json) { erase_member(json, key); });
            },
            kCorrupt,
            {"config.json", key}};
}

BrokenModel generation(const char* name, const std::string& text,
                       std::vector<std::string> words = {}) {
    words.emplace_back("generation_config.json");
    return {name, text_file("generation_config.json", text), kCorrupt, std::move(words)};
}

io::Json rope(const std::string& type, const io::Json::Object& more) {
    io::Json json = io::Json::Object{{"rope_type", type}};
    for (const auto& [key, member] : more) json.set(key, member);
    return json;
}

const io::Json kLlama3 = rope("llama3", {{"factor", 8.0},
                                         {"low_freq_factor", 1.0},
                                         {"high_freq_factor", 4.0},
                                         {"original_max_position_embeddings", 128}});

io::Json llama3_with(const std::string& key, const io::Json& json) {
    io::Json changed = kLlama3;
    changed.set(key, json);
    return changed;
}

const std::vector<BrokenModel> kValues = {
    without("NoHiddenSize", "hidden_size"),
    without("NoLayers", "num_hidden_layers"),
    without("NoHeads", "num_attention_heads"),
    without("NoEpsilon", "rms_norm_eps"),
    without("NoPositions", "max_position_embeddings"),
    value("HiddenSizeAboveTheRange", "hidden_size", (1 << 20) + 1),
    value("HiddenSizeNull", "hidden_size", io::Json()),
    value("HiddenSizeList", "hidden_size", io::Json::Array{32}),
    value("FfnZero", "intermediate_size", 0),
    value("FfnAboveTheRange", "intermediate_size", (1 << 22) + 1),
    value("LayersZero", "num_hidden_layers", 0),
    value("LayersAboveTheRange", "num_hidden_layers", 1025),
    value("HeadsZero", "num_attention_heads", 0),
    value("HeadsAboveTheRange", "num_attention_heads", 4097),
    value("KvHeadsZero", "num_key_value_heads", 0),
    value("KvHeadsMoreThanHeads", "num_key_value_heads", 8),
    value("HeadDimZero", "head_dim", 0),
    value("HeadDimAboveTheRange", "head_dim", 1026),
    value("VocabularyAboveTheRange", "vocab_size", (1 << 22) + 1),
    value("PositionsZero", "max_position_embeddings", 0),
    value("PositionsAboveTheRange", "max_position_embeddings", (1 << 24) + 1),
    value("EpsilonNegative", "rms_norm_eps", -1e-5),
    value("EpsilonOne", "rms_norm_eps", 1),
    value("EpsilonText", "rms_norm_eps", "1e-5"),
    value("ThetaOne", "rope_theta", 1.0),
    value("ThetaAboveTheRange", "rope_theta", 2e12),
    value("RopeIsAList", "rope_scaling", io::Json::Array{}),
    value("RopeFactorMissing", "rope_scaling", rope("linear", {})),
    value("RopeFactorNegative", "rope_scaling", rope("linear", {{"factor", -2.0}})),
    value("RopeFactorHuge", "rope_scaling", rope("linear", {{"factor", 1e7}})),
    value("RopeWithoutRoundedBorders", "rope_scaling",
          rope("yarn", {{"factor", 2.0}, {"truncate", false}}), kUnsupported),
    value("RopeFrequenciesCross", "rope_scaling", llama3_with("low_freq_factor", 4.0)),
    value("RopePositionsZero", "rope_scaling", llama3_with("original_max_position_embeddings", 0)),
    value("RopeOfTwoKinds", "rope_parameters", rope("linear", {{"factor", 2.0}, {"type", "yarn"}})),
    value("RopeThetaTwice", "rope_parameters", rope("default", {{"rope_theta", 5.0}})),
    value("HalfAPairRotated", "partial_rotary_factor", 0.2, kUnsupported),
    value("TiedIsANumber", "tie_word_embeddings", 1),
    value("BiasIsAText", "attention_bias", "yes"),
    {"BiasWithoutTensors", config("mlp_bias", true), kCorrupt, {"config.json", "bias"}},
    value("EosText", "eos_token_id", "</s>"),
    value("EosListOfTexts", "eos_token_id", io::Json::Array{"</s>"}),
    value("EosListTooLong", "eos_token_id", io::Json::Array(257, io::Json(1))),
    {"CodeOfItsOwn",
     [](const std::string& folder) {
         edit_json(folder + "/config.json", [](io::Json& json) {
             json.set("architectures", io::Json::Array{"OurLM"});
             json.set("auto_map", io::Json::Object{{"AutoModel", "x.py"}});
         });
     },
     kUnsupported,
     {"config.json", "auto_map", "OurLM"}},
    value("TwoArchitectures", "architectures",
          io::Json::Array{"LlamaForCausalLM", "MistralForCausalLM"}),
    value("ArchitectureIsAText", "architectures", "LlamaForCausalLM"),
    value("CompressedByAnother", "compression_config", io::Json::Object{}, kUnsupported),
    value("QuantizationWithoutMethod", "quantization_config", io::Json::Object{{"bits", 4}},
          kUnsupported),
    {"NestedBeyondTheLimit",
     text_file("config.json", R"({"a":)" + std::string(32, '[') + std::string(32, ']') + "}"),
     kCorrupt,
     {"config.json", "deeper"}},
    {"LongerThanTheLimit",
     text_file("config.json", std::string((4 << 20) + 1, ' ')),
     kCorrupt,
     {"config.json"}},
    {"ByteOrderMark", text_file("config.json", "\xef\xbb\xbf{}"), kCorrupt, {"config.json"}},
    {"NulByte", text_file("config.json", std::string("{}\0", 3)), kCorrupt, {"config.json"}},
    {"NumberNotFinite", text_file("config.json", R"({"a": 1e999})"), kCorrupt, {"config.json"}},
};

const std::vector<BrokenModel> kGeneration = {
    generation("NotJson", "eos = 2"),
    generation("CutOff", R"({"eos_token_id": [2,)"),
    generation("IsAList", "[2]"),
    generation("EosText", R"({"eos_token_id": "</s>"})", {"eos_token_id"}),
    generation("EosNegative", R"({"eos_token_id": -2})", {"eos_token_id"}),
    generation("EosFraction", R"({"eos_token_id": 2.5})", {"eos_token_id"}),
    generation("EosBeyondInt", R"({"eos_token_id": 4294967296})", {"eos_token_id"}),
    generation("EosNested", R"({"eos_token_id": [[2]]})", {"eos_token_id"}),
    generation("KeyTwice", R"({"eos_token_id": 2, "eos_token_id": 3})", {"twice"}),
    generation("NotUtf8", "{\"a\": \"\xff\"}", {"UTF-8"}),
    {"IsAFolder",
     [](const std::string& folder) {
         std::filesystem::create_directory(folder + "/generation_config.json");
     },
     kNotFound,
     {"generation_config.json"}},
};

class BrokenValueTest : public BrokenModelTest {};

TEST_P(BrokenValueTest, IsRefusedByInspect) {
    expect_refusal({"inspect", model_, "--json"});
}

INSTANTIATE_TEST_SUITE_P(Config, BrokenValueTest, testing::ValuesIn(kValues), case_name);
INSTANTIATE_TEST_SUITE_P(Generation, BrokenValueTest, testing::ValuesIn(kGeneration), case_name);

}  // namespace
}  // namespace quarot::test
