// Broken safetensors files: the exit code, one line that names file and tensor, nothing left.
#include <filesystem>
#include <limits>

#include "e2e/broken_model.h"
#include "e2e/model_surgery.h"

namespace quarot::test {
namespace {

const std::string kQ = "model.layers.0.self_attn.q_proj.weight";

std::string weights_file(const std::string& folder) {
    return folder + "/model.safetensors";
}

// The header entry of one tensor changed.
Damage entry(const std::string& key, const io::Json& value, const std::string& tensor = kQ) {
    return [=](const std::string& folder) {
        edit_header(weights_file(folder), [&](io::Json& header) {
            io::Json changed = header.at(tensor);
            changed.set(key, value);
            header.set(tensor, changed);
        });
    };
}

Damage header_text(const std::string& text) {
    return [=](const std::string& folder) { replace_header(weights_file(folder), text); };
}

Damage header_length(uint64_t length) {
    return [=](const std::string& folder) { set_header_length(weights_file(folder), length); };
}

Damage value(const std::string& tensor, float number) {
    return [=](const std::string& folder) {
        const std::string bytes(reinterpret_cast<const char*>(&number), sizeof(number));
        overwrite_tensor(weights_file(folder), tensor, 8, bytes);
    };
}

// The model written anew, with one thing changed before.
Damage rewritten(std::function<void(TinyModel&)> change) {
    return [=](const std::string& folder) {
        std::filesystem::remove_all(folder);
        TinyModel model = make_tiny_model({});
        change(model);
        write_model(model, folder);
    };
}

void only_file(const std::string& folder, const std::string& name) {
    remove_file(weights_file(folder));
    write_bytes(folder + "/" + name, "weights of another program");
}

const float kNan = std::numeric_limits<float>::quiet_NaN();
const float kInf = std::numeric_limits<float>::infinity();

const std::vector<BrokenModel> kBrokenFiles = {
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
    {"NothingButGguf",
     [](const std::string& f) {
         only_file(f, "tiny.Q4_0.gguf");
         std::filesystem::remove(f + "/config.json");
         std::filesystem::remove(f + "/tokenizer.json");
     },
     kUnsupported,
     {"tiny.Q4_0.gguf", "in place of the folder"}},
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
};

const std::vector<BrokenModel> kBrokenHeaders = {
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
};

// Well-formed, but not what the config asks for, or not numbers.
const std::vector<BrokenModel> kBrokenTensors = {
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

class BrokenWeightsTest : public BrokenModelTest {};

TEST_P(BrokenWeightsTest, IsRefused) {
    expect_refusal_by_quantize_and_logits();
}

INSTANTIATE_TEST_SUITE_P(Files, BrokenWeightsTest, testing::ValuesIn(kBrokenFiles), case_name);
INSTANTIATE_TEST_SUITE_P(Headers, BrokenWeightsTest, testing::ValuesIn(kBrokenHeaders), case_name);
INSTANTIATE_TEST_SUITE_P(Tensors, BrokenWeightsTest, testing::ValuesIn(kBrokenTensors), case_name);

}  // namespace
}  // namespace quarot::test
