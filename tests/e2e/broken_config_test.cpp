// config.json and the folder itself, broken: the exit code, one line that names the place, nothing
// left.
#include <filesystem>

#include "e2e/broken_model.h"
#include "e2e/model_surgery.h"

namespace quarot::test {
namespace {

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

class BrokenConfigTest : public BrokenModelTest {};

TEST_P(BrokenConfigTest, IsRefused) {
    expect_refusal_by_quantize_and_logits();
}

INSTANTIATE_TEST_SUITE_P(Config, BrokenConfigTest, testing::ValuesIn(kBrokenConfigs), case_name);

}  // namespace
}  // namespace quarot::test
