// What verifying finds: any changed byte, everything that is wrong at once, and nothing else.
#include "verify/verify.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <limits>
#include <random>
#include <sstream>

#include "core/error.h"
#include "io/seal.h"
#include "quantize/quantize_model.h"
#include "support/gguf_of_folder.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"
#include "verify/recorded_files.h"

namespace quarot::verify {

namespace {

std::string content_of(const std::string& path) {
    std::ostringstream bytes;
    bytes << std::ifstream(path, std::ios::binary).rdbuf();
    return bytes.str();
}

void write(const std::string& path, const std::string& bytes) {
    std::ofstream(path, std::ios::binary) << bytes;
}

std::vector<std::string> paths_in(const std::string& folder) {
    std::vector<std::string> paths;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
        paths.push_back(entry.path().string());
    }
    std::sort(paths.begin(), paths.end());
    return paths;
}

bool mentions(const std::vector<std::string>& sentences, const std::string& word) {
    return std::any_of(sentences.begin(), sentences.end(), [&](const std::string& sentence) {
        return sentence.find(word) != std::string::npos;
    });
}

class VerifyTest : public testing::Test {
  protected:
    void SetUp() override {
        test::write_tiny_model(dir_ / "plain", {}, 2);
        quantize::QuantizeOptions options;
        options.recipe = named_recipe("quarot-rtn");
        options.n_threads = 1;
        quantize::quantize_model(dir_ / "plain", quantized_, options);
    }

    const test::TempDir dir_;
    const std::string plain_ = dir_ / "plain";
    const std::string quantized_ = dir_ / "w4";
};

TEST_F(VerifyTest, FindsNothingInAFolderJustMade) {
    const Findings findings = verify_model(quantized_);
    EXPECT_EQ(findings.problems, std::vector<std::string>());
    EXPECT_EQ(findings.notes, std::vector<std::string>());
    ASSERT_EQ(findings.files.size(), paths_in(quantized_).size());
    for (const FileState& file : findings.files) {
        EXPECT_EQ(file.sha256.size(), 64u) << file.name;
        EXPECT_EQ(file.recorded.has_value(), file.name != "quarot.json") << file.name;
        EXPECT_EQ(file.recorded.value_or(file.sha256), file.sha256);
    }
}

TEST_F(VerifyTest, TakesAPlainFolderAndSaysThatNothingIsRecorded) {
    const Findings findings = verify_model(plain_);
    EXPECT_EQ(findings.problems, std::vector<std::string>());
    EXPECT_TRUE(mentions(findings.notes, "no quarot.json"));
    for (const FileState& file : findings.files) EXPECT_FALSE(file.recorded) << file.name;
}

TEST_F(VerifyTest, FindsAnyFlippedBit) {
    constexpr int kFlipsPerFile = 40;
    std::mt19937 random(7);
    for (const std::string& path : paths_in(quantized_)) {
        const std::string whole = content_of(path);
        for (int i = 0; i < kFlipsPerFile; ++i) {
            std::string changed = whole;
            const size_t at = random() % changed.size();
            changed[at] = static_cast<char>(changed[at] ^ (1 << (random() % 8)));
            write(path, changed);
            EXPECT_FALSE(verify_model(quantized_).problems.empty()) << path << " at " << at;
        }
        write(path, whole);
    }
    EXPECT_TRUE(verify_model(quantized_).problems.empty());
}

TEST_F(VerifyTest, FindsFilesThatAreGone) {
    for (const std::string& path : paths_in(quantized_)) {
        const std::string whole = content_of(path);
        std::filesystem::remove(path);
        EXPECT_TRUE(mentions(verify_model(quantized_).problems,
                             std::filesystem::path(path).filename().string()));
        write(path, whole);
    }
}

TEST_F(VerifyTest, TellsAllThatIsWrongAndNotTheFirstAlone) {
    write(plain_ + "/model-00001-of-00002.safetensors", "cut");
    write(plain_ + "/model-00002-of-00002.safetensors", "cut as well");
    write(plain_ + "/tokenizer.json", "{}");
    write(plain_ + "/generation_config.json", R"({"eos_token_id": "x"})");
    const std::vector<std::string> problems = verify_model(plain_).problems;
    EXPECT_EQ(problems.size(), 4u);
    for (const char* name : {"model-00001", "model-00002", "tokenizer.json", "generation_config"}) {
        EXPECT_TRUE(mentions(problems, name)) << name;
    }
}

TEST_F(VerifyTest, NamesEveryTensorThatIsWrong) {
    const std::string folder = dir_ / "bad";
    test::TinyModel model = test::make_tiny_model({});
    const std::string norm = "model.layers.0.input_layernorm.weight";
    const std::string query = "model.layers.1.self_attn.q_proj.weight";
    auto values = test::values_of(model.tensors.at(norm));
    values[3] = std::numeric_limits<float>::quiet_NaN();
    model.tensors[norm] = test::make_stored_tensor(DType::F32, {32}, values);
    model.tensors.erase(query);
    model.tensors.erase("model.norm.weight");
    test::write_model(model, folder);
    const std::vector<std::string> problems = verify_model(folder).problems;
    EXPECT_EQ(problems.size(), 3u);
    for (const std::string& name : {norm, query, std::string("model.norm.weight")}) {
        EXPECT_TRUE(mentions(problems, name)) << name;
    }
}

TEST_F(VerifyTest, FindsIdsThatTheModelHasNoRowFor) {
    const std::string folder = dir_ / "narrow";
    test::TinyModelOptions options;
    options.vocab = 100;
    test::TinyModel model = test::make_tiny_model(options);
    model.text_files["tokenizer.json"] = test::tiny_tokenizer_json();
    test::write_model(model, folder);
    EXPECT_TRUE(mentions(verify_model(folder).problems, "vocab_size"));
}

TEST_F(VerifyTest, TellsWhatIsWrongWithAChatTemplate) {
    const std::string path = plain_ + "/chat_template.jinja";
    write(path, "{% for m in messages %}{{ m.content }}{% endfor %}");
    EXPECT_EQ(verify_model(plain_).problems, std::vector<std::string>());
    for (const std::string& bad : {std::string("{% if %}"), std::string("{{ 'open"),
                                   std::string(300 << 10, ' '), std::string("{% for m in x %}")}) {
        write(path, bad);
        const Findings findings = verify_model(plain_);
        EXPECT_EQ(findings.problems.size(), 1u) << bad.substr(0, 40);
        EXPECT_TRUE(mentions(findings.problems, "chat_template.jinja")) << bad.substr(0, 40);
    }
}

TEST_F(VerifyTest, TakesNoTokenizerThatLiesBesideAGgufFile) {
    const std::string path = dir_ / "alone.gguf";
    test::write_tiny_model(dir_ / "mute", {.vocab = 100});
    test::write_gguf(test::gguf_of_folder(dir_ / "mute", "llama"), path);
    write(dir_ / "tokenizer.model", "of another model");
    const Findings findings = verify_model(path);
    EXPECT_EQ(findings.problems, std::vector<std::string>());
    EXPECT_TRUE(mentions(findings.notes, "no tokenizer"));
}

TEST_F(VerifyTest, NotesATemplateThatOtherProgramsCanUse) {
    write(plain_ + "/chat_template.jinja", "{% include 'other' %}");
    Findings findings = verify_model(plain_);
    EXPECT_EQ(findings.problems, std::vector<std::string>());
    EXPECT_TRUE(mentions(findings.notes, "include"));
    std::filesystem::remove(plain_ + "/chat_template.jinja");
    write(plain_ + "/tokenizer_config.json",
          R"({"chat_template": [{"name": "tools", "template": "x"}]})");
    findings = verify_model(plain_);
    EXPECT_EQ(findings.problems, std::vector<std::string>());
    EXPECT_TRUE(mentions(findings.notes, "default"));
}

TEST_F(VerifyTest, MissesTheRecordOfAQuantizedFolder) {
    std::filesystem::remove(quantized_ + "/quarot.json");
    EXPECT_TRUE(mentions(verify_model(quantized_).problems, "quarot.json is missing"));
}

TEST(RecordedFiles, RefusesNamesThatLeaveTheFolder) {
    for (const char* name : {"../secret", "/etc/passwd", "a/b", "..", ".", "", "a\\n"}) {
        const std::string text =
            io::sealed(std::string(R"({"schema":"quarot.provenance/1","outputs":{")") + name +
                       R"(":""}})") +
            "\n";
        try {
            parse_recorded_files(text, "here/quarot.json");
            ADD_FAILURE() << name << " was accepted";
        } catch (const Error& error) {
            EXPECT_TRUE(std::string(error.what()).starts_with("here/quarot.json: outputs names"))
                << error.what();
        }
    }
}

TEST(VerifiedFolder, MustBeThere) {
    try {
        verify_model("/no/such/folder");
        FAIL() << "nothing was refused";
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::NotFound);
    }
}

}  // namespace

}  // namespace quarot::verify
