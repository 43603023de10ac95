// Model folders that somebody broke: the exit code, one line that names the place, nothing left.
#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <limits>

#include "e2e/expectations.h"
#include "e2e/model_surgery.h"
#include "e2e/program.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"

namespace quarot::test {
namespace {

constexpr int kNotFound = 3;
constexpr int kUnsupported = 4;
constexpr int kCorrupt = 5;

struct BrokenModel {
    const char* name;
    std::function<void(const std::string& folder)> damage;
    int exit_code;
    std::vector<std::string> words;  // the message names these
};

void PrintTo(const BrokenModel& model, std::ostream* out) {
    *out << model.name;
}

const std::string kQ = "model.layers.0.self_attn.q_proj.weight";

std::string weights_file(const std::string& folder) {
    return folder + "/model.safetensors";
}
std::string index_file(const std::string& folder) {
    return folder + "/model.safetensors.index.json";
}

// config.json with one value changed.
std::function<void(const std::string&)> config(const std::string& key, const io::Json& value) {
    return [=](const std::string& folder) {
        edit_json(folder + "/config.json", [&](io::Json& json) { json.set(key, value); });
    };
}

std::function<void(const std::string&)> text_file(const std::string& name,
                                                  const std::string& text) {
    return [=](const std::string& folder) { write_bytes(folder + "/" + name, text); };
}

// The header entry of one tensor changed.
std::function<void(const std::string&)> entry(const std::string& key, const io::Json& value,
                                              const std::string& tensor = kQ) {
    return [=](const std::string& folder) {
        edit_header(weights_file(folder), [&](io::Json& header) {
            io::Json changed = header.at(tensor);
            changed.set(key, value);
            header.set(tensor, changed);
        });
    };
}

std::function<void(const std::string&)> header_text(const std::string& text) {
    return [=](const std::string& folder) { replace_header(weights_file(folder), text); };
}

std::function<void(const std::string&)> header_length(uint64_t length) {
    return [=](const std::string& folder) { set_header_length(weights_file(folder), length); };
}

std::function<void(const std::string&)> value(const std::string& tensor, float number) {
    return [=](const std::string& folder) {
        const std::string bytes(reinterpret_cast<const char*>(&number), sizeof(number));
        overwrite_tensor(weights_file(folder), tensor, 8, bytes);
    };
}

// The model written anew, with one thing changed before.
std::function<void(const std::string&)> rewritten(std::function<void(TinyModel&)> change) {
    return [=](const std::string& folder) {
        std::filesystem::remove_all(folder);
        TinyModel model = make_tiny_model({});
        change(model);
        write_model(model, folder);
    };
}

// The model in three shards with an index, one thing changed after.
std::function<void(const std::string&)> sharded(std::function<void(const std::string&)> change) {
    return [=](const std::string& folder) {
        std::filesystem::remove_all(folder);
        write_tiny_model(folder, {}, 3);
        change(folder);
    };
}

std::function<void(const std::string&)> weight_map(std::function<void(io::Json&)> change) {
    return sharded([=](const std::string& folder) {
        edit_json(index_file(folder), [&](io::Json& json) {
            io::Json map = json.at("weight_map");
            change(map);
            json.set("weight_map", map);
        });
    });
}

void erase_member(io::Json& object, const std::string& key) {
    std::erase_if(object.as_object(), [&](const auto& member) { return member.first == key; });
}

void only_file(const std::string& folder, const std::string& name) {
    remove_file(weights_file(folder));
    write_bytes(folder + "/" + name, "weights of another program");
}

const float kNan = std::numeric_limits<float>::quiet_NaN();
const float kInf = std::numeric_limits<float>::infinity();

const std::vector<BrokenModel> kBrokenConfigs = {
    {"FolderMissing",
     [](const std::string& f) { std::filesystem::remove_all(f); },
     kNotFound,
     {"model"}},
    {"FolderIsAFile",
     [](const std::string& f) {
         std::filesystem::remove_all(f);
         write_bytes(f, "text");
     },
     kNotFound,
     {"model"}},
    {"FolderEmpty",
     [](const std::string& f) {
         std::filesystem::remove_all(f);
         std::filesystem::create_directory(f);
     },
     kNotFound,
     {"model"}},
    {"ConfigMissing",
     [](const std::string& f) { remove_file(f + "/config.json"); },
     kNotFound,
     {"config.json"}},
    {"ConfigIsAFolder",
     [](const std::string& f) {
         remove_file(f + "/config.json");
         std::filesystem::create_directory(f + "/config.json");
     },
     kNotFound,
     {"config.json"}},
    {"ConfigEmpty", text_file("config.json", ""), kCorrupt, {"config.json"}},
    {"ConfigNotJson", text_file("config.json", "hidden_size = 32"), kCorrupt, {"config.json"}},
    {"ConfigCutOff",
     [](const std::string& f) { truncate_by(f + "/config.json", 5); },
     kCorrupt,
     {"config.json"}},
    {"ConfigIsAList", text_file("config.json", "[1, 2]"), kCorrupt, {"config.json"}},
    {"ConfigNotUtf8", text_file("config.json", "{\"a\": \"\xff\"}"), kCorrupt, {"config.json"}},
    {"ConfigKeyTwice", text_file("config.json", "{\"a\": 1, \"a\": 2}"), kCorrupt, {"config.json"}},
    {"ConfigNestedTooDeep",
     text_file("config.json", std::string(100000, '[')),
     kCorrupt,
     {"config.json"}},
    {"ArchitectureMissing", config("architectures", io::Json()), kCorrupt, {"architectures"}},
    {"ArchitectureUnknown",
     config("architectures", io::Json::Array{"MambaForCausalLM"}),
     kUnsupported,
     {"MambaForCausalLM"}},
    {"HiddenSizeZero", config("hidden_size", 0), kCorrupt, {"hidden_size"}},
    {"HiddenSizeHuge", config("hidden_size", int64_t{1} << 40), kCorrupt, {"hidden_size"}},
    {"HiddenSizeNegative", config("hidden_size", -32), kCorrupt, {"hidden_size"}},
    {"HiddenSizeFraction", config("hidden_size", 32.5), kCorrupt, {"hidden_size"}},
    {"LayersAsText", config("num_hidden_layers", "two"), kCorrupt, {"num_hidden_layers"}},
    {"LayersHuge", config("num_hidden_layers", 2000000000), kCorrupt, {"num_hidden_layers"}},
    {"KvHeadsDoNotDivide", config("num_key_value_heads", 3), kCorrupt, {"num_key_value_heads"}},
    {"HeadDimOdd", config("head_dim", 7), kCorrupt, {"head_dim"}},
    {"VocabularyZero", config("vocab_size", 0), kCorrupt, {"vocab_size"}},
    {"EpsilonZero", config("rms_norm_eps", 0.0), kCorrupt, {"rms_norm_eps"}},
    {"RopeThetaNegative", config("rope_theta", -1.0), kCorrupt, {"rope_theta"}},
    {"RopeTypeUnknown",
     config("rope_scaling", io::Json::Object{{"rope_type", "spiral"}, {"factor", 2.0}}),
     kUnsupported,
     {"spiral"}},
    {"RopeFactorZero",
     config("rope_scaling", io::Json::Object{{"rope_type", "linear"}, {"factor", 0.0}}),
     kCorrupt,
     {"factor"}},
    {"ActivationUnknown", config("hidden_act", "relu6"), kUnsupported, {"relu6"}},
    {"OtherProgramsQuantization",
     config("quantization_config", io::Json::Object{{"quant_method", "awq"}}),
     kUnsupported,
     {"awq"}},
};

const std::vector<BrokenModel> kBrokenWeights = {
    {"WeightsMissing",
     [](const std::string& f) { remove_file(weights_file(f)); },
     kNotFound,
     {"model.safetensors"}},
    {"WeightsAreAFolder",
     [](const std::string& f) {
         remove_file(weights_file(f));
         std::filesystem::create_directory(weights_file(f));
     },
     kNotFound,
     {"model.safetensors"}},
    {"OnlyPickledWeights",
     [](const std::string& f) { only_file(f, "pytorch_model.bin"); },
     kUnsupported,
     {"pytorch_model.bin"}},
    {"OnlyGgufWeights",
     [](const std::string& f) { only_file(f, "model.gguf"); },
     kUnsupported,
     {"gguf"}},
    {"FileEmpty", text_file("model.safetensors", ""), kCorrupt, {"model.safetensors"}},
    {"FileOfSevenBytes",
     text_file("model.safetensors", "1234567"),
     kCorrupt,
     {"model.safetensors"}},
    {"LastByteMissing",
     [](const std::string& f) { truncate_by(weights_file(f), 1); },
     kCorrupt,
     {"model.safetensors"}},
    {"HalfTheFileMissing",
     [](const std::string& f) {
         truncate_by(weights_file(f),
                     static_cast<int64_t>(std::filesystem::file_size(weights_file(f)) / 2));
     },
     kCorrupt,
     {"model.safetensors"}},
    {"BytesBehindTheLastTensor",
     [](const std::string& f) { write_bytes(weights_file(f), read_bytes(weights_file(f)) + "x"); },
     kCorrupt,
     {"model.safetensors"}},
    {"HeaderLengthZero", header_length(0), kCorrupt, {"model.safetensors"}},
    {"HeaderLengthBeyondTheFile",
     header_length(uint64_t{1} << 24),
     kCorrupt,
     {"model.safetensors"}},
    {"HeaderLengthWraps", header_length(~uint64_t{0} - 3), kCorrupt, {"model.safetensors"}},
    {"HeaderNotJson", header_text("{dtype: F32}"), kCorrupt, {"model.safetensors"}},
    {"HeaderIsAList", header_text("[]"), kCorrupt, {"model.safetensors"}},
    {"HeaderNotUtf8", header_text("{\"\xc0\xaf\": 1}"), kCorrupt, {"model.safetensors"}},
    {"TensorTwice",
     header_text(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
                 R"("a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})"),
     kCorrupt,
     {"model.safetensors"}},
    {"DtypeUnknown", entry("dtype", "F31"), kCorrupt, {kQ}},
    {"DtypeKnownButNotOurs", entry("dtype", "C64"), kUnsupported, {kQ, "C64"}},
    {"WeightOfIntegers", entry("dtype", "I32"), kCorrupt, {kQ, "I32"}},
    {"DtypeMissing",
     [](const std::string& f) {
         edit_header(weights_file(f), [](io::Json& header) {
             io::Json changed = header.at(kQ);
             erase_member(changed, "dtype");
             header.set(kQ, changed);
         });
     },
     kCorrupt,
     {kQ, "dtype"}},
    {"ShapeNegative", entry("shape", io::Json::Array{-32, -32}), kCorrupt, {kQ}},
    {"ShapeProductOverflows",
     entry("shape", io::Json::Array{int64_t{1} << 40, int64_t{1} << 40}),
     kCorrupt,
     {kQ}},
    {"ShapeAndBytesDisagree", entry("shape", io::Json::Array{32, 33}), kCorrupt, {kQ}},
    {"OffsetsBackwards", entry("data_offsets", io::Json::Array{4096, 0}), kCorrupt, {kQ}},
    {"OffsetsOverlap",
     entry("data_offsets", io::Json::Array{0, 4096}),
     kCorrupt,
     {"model.safetensors"}},
    {"OffsetsBeyondTheFile",
     entry("data_offsets", io::Json::Array{int64_t{1} << 50, (int64_t{1} << 50) + 4096}),
     kCorrupt,
     {kQ}},
    {"MatrixOfTheWrongShape", entry("shape", io::Json::Array{16, 64}), kCorrupt, {kQ, "16"}},
    {"MatrixAsVector", entry("shape", io::Json::Array{1024}), kCorrupt, {kQ}},
    {"ConfigSaysWiderFfn", config("intermediate_size", 64), kCorrupt, {"mlp", "intermediate_size"}},
    {"ConfigSaysMoreLayers", config("num_hidden_layers", 3), kCorrupt, {"model.layers.2."}},
    {"ConfigSaysLargerVocabulary", config("vocab_size", 300), kCorrupt, {"vocab_size", "300"}},
    {"TensorMissing", rewritten([](TinyModel& m) { m.tensors.erase(kQ); }), kCorrupt, {kQ}},
    {"NormMissing",
     rewritten([](TinyModel& m) { m.tensors.erase("model.norm.weight"); }),
     kCorrupt,
     {"model.norm.weight"}},
    {"HeadMissing",
     rewritten([](TinyModel& m) { m.tensors.erase("lm_head.weight"); }),
     kCorrupt,
     {"lm_head.weight"}},
    {"NanInAMatrix", value(kQ, kNan), kCorrupt, {kQ, "model.safetensors"}},
    {"InfInAMatrix",
     value("model.layers.1.mlp.down_proj.weight", kInf),
     kCorrupt,
     {"model.layers.1.mlp.down_proj.weight"}},
    {"NanInANorm",
     value("model.layers.1.input_layernorm.weight", kNan),
     kCorrupt,
     {"model.layers.1.input_layernorm.weight"}},
    {"NanInTheEmbedding",
     value("model.embed_tokens.weight", kNan),
     kCorrupt,
     {"model.embed_tokens.weight"}},
    {"InfInTheHead", value("lm_head.weight", -kInf), kCorrupt, {"lm_head.weight"}},
};

const std::vector<BrokenModel> kBrokenShards = {
    {"ShardMissing",
     sharded([](const std::string& f) { remove_file(f + "/model-00002-of-00003.safetensors"); }),
     kNotFound,
     {"model-00002-of-00003.safetensors"}},
    {"ShardCutOff",
     sharded([](const std::string& f) { truncate_by(f + "/model-00003-of-00003.safetensors", 9); }),
     kCorrupt,
     {"model-00003-of-00003.safetensors"}},
    {"IndexNotJson",
     sharded(text_file("model.safetensors.index.json", "{")),
     kCorrupt,
     {"model.safetensors.index.json"}},
    {"IndexWithoutMap",
     sharded(text_file("model.safetensors.index.json", "{}")),
     kCorrupt,
     {"model.safetensors.index.json", "weight_map"}},
    {"IndexMapIsAList",
     sharded(text_file("model.safetensors.index.json", R"({"weight_map": []})")),
     kCorrupt,
     {"weight_map"}},
    {"IndexLeavesTheFolder",
     weight_map([](io::Json& map) { map.set(kQ, "../model-00001-of-00003.safetensors"); }),
     kCorrupt,
     {"../model-00001-of-00003.safetensors"}},
    {"IndexNamesANumber", weight_map([](io::Json& map) { map.set(kQ, 7); }), kCorrupt, {kQ}},
    {"IndexNamesATensorNobodyHas",
     weight_map(
         [](io::Json& map) { map.set("model.extra.weight", "model-00001-of-00003.safetensors"); }),
     kCorrupt,
     {"model.extra.weight"}},
    {"IndexForgetsATensor",
     weight_map([](io::Json& map) { erase_member(map, kQ); }),
     kCorrupt,
     {kQ}},
};

class BrokenModelTest : public testing::TestWithParam<BrokenModel> {
  protected:
    // Runs a command on the damaged folder; nothing may lie there after that was not there before.
    void expect_refusal(const std::vector<std::string>& arguments) {
        const std::vector<std::string> before = listing(dir_.path());
        expect_failure(run_program(arguments), GetParam().exit_code, GetParam().words);
        EXPECT_EQ(listing(dir_.path()), before);
    }

    void SetUp() override {
        write_tiny_model(model_);
        GetParam().damage(model_);
    }

    const TempDir dir_;
    const std::string model_ = dir_ / "model";
    const std::string out_ = dir_ / "out";
};

TEST_P(BrokenModelTest, IsRefusedByQuantize) {
    expect_refusal({"quantize", model_, out_, "--json"});
}

TEST_P(BrokenModelTest, IsRefusedByLogits) {
    expect_refusal({"logits", "-m", model_, "--ids", "1,2,3", "--out", out_, "--json"});
}

std::string case_name(const testing::TestParamInfo<BrokenModel>& info) {
    return info.param.name;
}

INSTANTIATE_TEST_SUITE_P(Config, BrokenModelTest, testing::ValuesIn(kBrokenConfigs), case_name);
INSTANTIATE_TEST_SUITE_P(Weights, BrokenModelTest, testing::ValuesIn(kBrokenWeights), case_name);
INSTANTIATE_TEST_SUITE_P(Shards, BrokenModelTest, testing::ValuesIn(kBrokenShards), case_name);

// ---- tokenizer.json, which generate, tokenize and perplexity read

std::function<void(const std::string&)> tokenizer(std::function<void(io::Json&)> change) {
    return [=](const std::string& folder) { edit_json(folder + "/tokenizer.json", change); };
}

std::function<void(const std::string&)> tokenizer_model(std::function<void(io::Json&)> change) {
    return tokenizer([=](io::Json& json) {
        io::Json model = json.at("model");
        change(model);
        json.set("model", model);
    });
}

const std::vector<BrokenModel> kBrokenTokenizers = {
    {"Missing",
     [](const std::string& f) { remove_file(f + "/tokenizer.json"); },
     kNotFound,
     {"tokenizer.json"}},
    {"NotJson", text_file("tokenizer.json", "<xml/>"), kCorrupt, {"tokenizer.json"}},
    {"WithoutModel", text_file("tokenizer.json", "{}"), kCorrupt, {"tokenizer.json", "model"}},
    {"ModelOfAnotherKind",
     tokenizer_model([](io::Json& m) { m.set("type", "WordPiece"); }),
     kUnsupported,
     {"WordPiece"}},
    {"MergeOfUnknownTokens",
     tokenizer_model([](io::Json& m) { m.set("merges", io::Json::Array{"zz yy"}); }),
     kCorrupt,
     {"tokenizer.json"}},
    {"TokenWithANegativeId",
     tokenizer_model([](io::Json& m) {
         m.set("vocab", io::Json::Object{{"a", -1}});
     }),
     kCorrupt,
     {"tokenizer.json"}},
    {"TwoTokensOfOneId",
     tokenizer_model([](io::Json& m) {
         m.set("vocab", io::Json::Object{{"a", 1}, {"b", 1}});
     }),
     kCorrupt,
     {"tokenizer.json"}},
    {"NormalizerUnknown",
     tokenizer([](io::Json& json) {
         json.set("normalizer", io::Json::Object{{"type", "Rot13"}});
     }),
     kUnsupported,
     {"Rot13"}},
};

class BrokenTokenizerTest : public BrokenModelTest {};

TEST_P(BrokenTokenizerTest, IsRefusedByGenerate) {
    expect_refusal({"generate", "-m", model_, "-p", "abc", "-n", "2", "--json"});
}

TEST_P(BrokenTokenizerTest, IsRefusedByTokenize) {
    expect_refusal({"tokenize", "-m", model_, "-p", "abc", "--json"});
}

INSTANTIATE_TEST_SUITE_P(Tokenizer, BrokenTokenizerTest, testing::ValuesIn(kBrokenTokenizers),
                         case_name);

}  // namespace
}  // namespace quarot::test
