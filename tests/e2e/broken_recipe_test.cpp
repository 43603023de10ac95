// The recipe and the digests of a quantized folder, and work folders, with anything in them.
#include <filesystem>
#include <memory>

#include "e2e/broken_model.h"
#include "e2e/expectations.h"
#include "e2e/model_surgery.h"
#include "e2e/program.h"

namespace quarot::test {
namespace {

Damage recipe(const std::function<void(io::Json&)>& change) {
    return [=](const std::string& folder) {
        edit_json(folder + "/config.json", [&](io::Json& json) {
            io::Json recipe = json.at("quantization_config");
            change(recipe);
            json.set("quantization_config", recipe);
        });
    };
}

BrokenModel top(const char* name, const std::string& key, const io::Json& value,
                int exit_code = kCorrupt) {
    return {name, recipe([=](io::Json& json) { json.set(key, value); }), exit_code, {key}};
}

BrokenModel nested(const char* name, const std::string& section, const std::string& key,
                   const io::Json& value, int exit_code = kCorrupt) {
    return {name,
            recipe([=](io::Json& json) {
                io::Json changed = json.at(section);
                changed.set(key, value);
                json.set(section, changed);
            }),
            exit_code,
            {"config.json"}};
}

BrokenModel digests(const char* name, const std::string& text,
                    std::vector<std::string> words = {}) {
    words.emplace_back("quarot.json");
    return {name, text_file("quarot.json", text), kCorrupt, std::move(words)};
}

const std::vector<BrokenModel> kRecipes = {
    top("MethodIsANumber", "quant_method", 4),
    top("MethodOfAnother", "quant_method", "gptq", kUnsupported),
    top("VersionZero", "format_version", 0),
    top("VersionText", "format_version", "1"),
    top("NameNone", "recipe", "none"),
    top("NameLeavesTheFolder", "recipe", "../../x"),
    top("NameEmpty", "recipe", ""),
    top("NameTooLong", "recipe", std::string(65, 'n')),
    top("WeightsAreAList", "weights", io::Json::Array{}),
    top("ActivationsNull", "activations", io::Json()),
    top("HeadBitsOne", "head_bits", 1),
    top("EmbeddingBitsOne", "embedding_bits", 1),
    top("TiedRotationText", "tied_rotation", "true"),
    top("HeadGroupOfSix", "head_group_size", 6),
    top("DownBitsOne", "down_bits", 1),
    top("StorageUnknown", "storage", "f64"),
    top("CalibrationText", "calibration", "yes"),
    top("SmoothingWithoutAlpha", "smoothing", io::Json::Object{}),
    nested("WeightBitsText", "weights", "bits", "4"),
    nested("WeightBitsFraction", "weights", "bits", 4.5),
    nested("WeightMethodNumber", "weights", "method", 3),
    nested("WeightGroupOfSix", "weights", "group_size", 6),
    nested("WeightGroupNegative", "weights", "group_size", -4),
    nested("WeightSymmetryText", "weights", "symmetric", "true"),
    nested("WeightDampTwo", "weights", "damp", 2.0),
    nested("WeightGroupScalesUnknown", "weights", "group_scales", "old"),
    nested("ActivationClipZero", "activations", "clip", 0),
    nested("ActivationClipNegative", "activations", "clip", -0.9),
    nested("ActivationZeroPointUnknown", "activations", "zero_point", "float"),
    nested("ActivationZeroPointOfSymmetricCodes", "activations", "zero_point", "real"),
    nested("KeyBitsNine", "k", "bits", 9),
    nested("KeyAxisUnknown", "k", "axis", "head"),
    nested("KeyGroupsInsideAHead", "k", "group_size", 4, kUnsupported),
    nested("ValueExemptPositions", "v", "exempt_positions", 4, kUnsupported),
    nested("ValueExemptPositionsNegative", "v", "exempt_positions", -1),
    nested("SeedNegative", "rotation", "seed", -1),
    nested("SeedBeyond32Bits", "rotation", "seed", int64_t{1} << 32),
    nested("ResidualBlockThatDoesNotDivide", "rotation", "residual_block", 5),
    nested("HeadsBlockThatDoesNotDivide", "rotation", "heads_block", 3),
    nested("FfnBlockThatDoesNotDivide", "rotation", "ffn_block", 7),
    nested("FfnBlockHuge", "rotation", "ffn_block", int64_t{1} << 40),
    nested("RotatedAndNotFolded", "rotation", "fold_norms", false),
    nested("OnlineTypeUnknown", "rotation", "online_dtype", "f8"),
    nested("CalibrationOfNoWindows", "calibration", "nsamples", 0),
    nested("CalibrationOfOneToken", "calibration", "seqlen", 1),
    digests("DigestsNotJson", "tensors"),
    digests("DigestsCutOff", R"({"tensors": {"a":)"),
    digests("DigestsMissing", R"({"schema": "quarot.provenance/1"})", {"tensors"}),
    digests("DigestsEmpty", R"({"tensors": {}})", {"tensors"}),
    digests("DigestsAreAList", R"({"tensors": []})", {"tensors"}),
    digests("DigestIsANumber", R"({"tensors": {"a": 1}})", {"tensors"}),
    digests("DigestsOfOtherTensors", R"({"tensors": {"a": "00"}})", {"no digest"}),
    {"DigestsAreAFolder",
     [](const std::string& folder) {
         remove_file(folder + "/quarot.json");
         std::filesystem::create_directory(folder + "/quarot.json");
     },
     kNotFound,
     {"quarot.json"}},
};

class BrokenRecipeTest : public testing::TestWithParam<BrokenModel> {
  protected:
    static void SetUpTestSuite() {
        dir_ = std::make_unique<TempDir>();
        write_tiny_model(*dir_ / "model");
        expect_success(
            run_program({"quantize", *dir_ / "model", *dir_ / "w4", "--recipe", "quarot-rtn"}));
    }
    static void TearDownTestSuite() { dir_.reset(); }

    static std::unique_ptr<TempDir> dir_;
};

std::unique_ptr<TempDir> BrokenRecipeTest::dir_;

TEST_P(BrokenRecipeTest, IsRefusedByLogits) {
    const TempDir own;
    std::filesystem::copy(*dir_ / "w4", own / "w4");
    GetParam().damage(own / "w4");
    const std::vector<std::string> before = listing(own.path());
    expect_failure(
        run_program({"logits", own / "w4", "--ids", "1,2", "--out", own / "out", "--json"}),
        GetParam().exit_code, GetParam().words);
    EXPECT_EQ(listing(own.path()), before);
}

INSTANTIATE_TEST_SUITE_P(Folders, BrokenRecipeTest, testing::ValuesIn(kRecipes), case_name);

// ---- work folders

Damage job(const std::string& text) {
    return [=](const std::string& folder) {
        std::filesystem::create_directory(folder);
        write_bytes(folder + "/job.json", text);
    };
}

const std::vector<BrokenModel> kWorkFolders = {
    {"JobNotJson", job("half a job"), kUsage, {"work", "job.json"}},
    {"JobEmpty", job(""), kUsage, {"work", "job.json"}},
    {"JobOfAnotherSchema", job(R"({"schema": "quarot.job/9", "job": {}})"), kUsage, {"schema"}},
    {"JobWithoutSchema", job(R"({"job": {}})"), kUsage, {"schema"}},
    {"JobWithoutJob", job(R"({"schema": "quarot.job/1"})"), kUsage, {"job"}},
    {"JobNotUtf8", job("{\"schema\": \"\xff\"}"), kUsage, {"job.json"}},
    {"JobAboveTheLimit", job(std::string((1 << 20) + 1, ' ')), kUsage, {"job.json"}},
    {"JobIsAFolder",
     [](const std::string& folder) { std::filesystem::create_directories(folder + "/job.json"); },
     kUsage,
     {"job.json"}},
    {"SomebodyElsesFile",
     [](const std::string& folder) {
         std::filesystem::create_directory(folder);
         write_bytes(folder + "/layer-1.safetensors", "mine");
     },
     kUsage,
     {"layer-1.safetensors"}},
};

class BrokenWorkFolderTest : public testing::TestWithParam<BrokenModel> {};

TEST_P(BrokenWorkFolderTest, IsLeftAsItIs) {
    const TempDir dir;
    write_tiny_model(dir / "model");
    GetParam().damage(dir / "work");
    const std::vector<std::string> before = listing(dir.path());
    expect_failure(run_program({"quantize", dir / "model", dir / "out", "--recipe", "quarot-rtn",
                                "--work-dir", dir / "work", "--resume", "--json"}),
                   GetParam().exit_code, GetParam().words);
    EXPECT_EQ(listing(dir.path()), before);
}

INSTANTIATE_TEST_SUITE_P(Folders, BrokenWorkFolderTest, testing::ValuesIn(kWorkFolders), case_name);

}  // namespace
}  // namespace quarot::test
