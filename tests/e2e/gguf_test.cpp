// A GGUF file where a folder is taken: the same results as of the folder that it was made from.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "e2e/expectations.h"
#include "e2e/model_surgery.h"
#include "e2e/program.h"
#include "io/hash.h"
#include "support/gguf_of_folder.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"

namespace quarot::test {
namespace {

using Words = std::vector<std::string>;

class Gguf : public testing::Test {
  protected:
    void SetUp() override {
        write_tiny_model(folder_);
        gguf_ = gguf_of_folder(folder_, "llama");
        gguf_.set("tokenizer.chat_template",
                  io::gguf_text("{% for m in messages %}{{ m.content }}{% endfor %}"));
        write();
        std::string text;
        for (int i = 0; i < 300; ++i) text += "It was a dark and stormy night. ";
        std::ofstream(text_) << text;
    }
    void write() { write_gguf(gguf_, file_); }

    static Outcome run(Words arguments) {
        const Outcome outcome = run_program(arguments);
        expect_success(outcome);
        return outcome;
    }
    // The same command on the folder and on the file.
    void expect_same_output(const std::string& command, const Words& more) {
        Words of_folder = {command, folder_}, of_file = {command, file_};
        of_folder.insert(of_folder.end(), more.begin(), more.end());
        of_file.insert(of_file.end(), more.begin(), more.end());
        EXPECT_EQ(run(of_folder).out, run(of_file).out) << command;
    }
    std::string quantized(const std::string& model, const std::string& name, const Words& flags) {
        const std::string out = dir_ / name;
        Words arguments = {"quantize", model, out};
        arguments.insert(arguments.end(), flags.begin(), flags.end());
        run(arguments);
        return out;
    }

    const TempDir dir_;
    const std::string folder_ = dir_ / "model";
    const std::string file_ = dir_ / "model-f32.gguf";
    const std::string text_ = dir_ / "text";
    io::HandmadeGguf gguf_;
};

TEST_F(Gguf, SaysAndComputesWhatItsFolderDoes) {
    expect_same_output("tokenize", {"-p", "It was <s> a d\u00e4rk"});
    expect_same_output("generate", {"-p", "It was a dark", "-n", "20"});
    const auto inspected = [&](const std::string& model) {
        return run({"inspect", model, "--tensors", "--json"}).json();
    };
    for (const char* key : {"architecture", "parameters", "memory_bytes", "tensors"}) {
        EXPECT_EQ(inspected(folder_).at(key).dump(), inspected(file_).at(key).dump()) << key;
    }
    EXPECT_EQ(inspected(file_).at("disk_bytes").as_int(),
              static_cast<int64_t>(std::filesystem::file_size(file_)));
    const auto perplexity = [&](const std::string& model) {
        return run({"perplexity", model, "--text", text_, "--seqlen", "128", "--json"})
            .json()
            .at("perplexity")
            .as_double();
    };
    EXPECT_EQ(perplexity(folder_), perplexity(file_));
    const io::Json divergence = run({"perplexity", folder_, "--kl-base", file_, "--text", text_,
                                     "--seqlen", "128", "--json"})
                                    .json();
    EXPECT_EQ(divergence.at("kl_mean").as_double(), 0.0);
}

TEST_F(Gguf, IsQuantizedIntoAFolderThatStandsAlone) {
    for (const Words& flags :
         {Words{"--recipe", "quarot-rtn"},
          Words{"--recipe", "quarot", "--calib", text_, "--nsamples", "4", "--seqlen", "64"}}) {
        const std::string of_folder = quantized(folder_, "a" + flags[1], flags);
        const std::string of_file = quantized(file_, "b" + flags[1], flags);
        const std::string weights = "/model.safetensors";
        EXPECT_EQ(io::sha256_of_file(of_folder + weights), io::sha256_of_file(of_file + weights));
        for (const char* name :
             {"config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json"}) {
            EXPECT_TRUE(std::filesystem::exists(of_file + "/" + name)) << name;
        }
        const auto generated = [&](const std::string& model) {
            return run({"generate", model, "-p", "It was a dark", "-n", "10"}).out;
        };
        EXPECT_EQ(generated(of_folder), generated(of_file));
        run({"generate", of_file, "--chat", "-p", "It was a dark", "-n", "3"});
        run({"verify", of_file});
    }
}

TEST_F(Gguf, IsVerifiedAndPlannedLikeAFolder) {
    const io::Json verified = run({"verify", file_, "--json"}).json();
    EXPECT_TRUE(verified.at("ok").as_bool());
    ASSERT_EQ(verified.at("files").as_array().size(), 1u);
    EXPECT_EQ(verified.at("files").as_array()[0].at("name").as_string(), "model-f32.gguf");
    EXPECT_TRUE(verified.at("notes").as_array().empty());
    const io::Json plan =
        run({"plan", file_, dir_ / "out", "--recipe", "quarot-rtn", "--json"}).json();
    EXPECT_TRUE(plan.at("problems").as_array().empty());
}

TEST_F(Gguf, EveryProblemIsFound) {
    for (auto& tensor : gguf_.tensors) {
        if (tensor.name == "blk.1.ffn_gate.weight") tensor.data.replace(40, 4, "\xff\xff\xff\x7f");
    }
    gguf_.set("tokenizer.ggml.pre", io::gguf_text("somebodys-own"));
    write();
    const Outcome outcome = run_program({"verify", file_, "--json"});
    EXPECT_NE(outcome.exit_code, 0);
    EXPECT_EQ(outcome.json().at("problems").as_array().size(), 2u) << outcome.out;
    expect_failure(run_program({"tokenize", file_, "-p", "a"}), kUnsupported,
                   {"somebodys-own", "gpt-2"});
}

TEST_F(Gguf, WithoutAVocabularyItIsAModelOfIds) {
    std::erase_if(gguf_.values,
                  [](const auto& value) { return value.first.starts_with("tokenizer."); });
    write();
    const std::string out = quantized(file_, "out", {"--recipe", "quarot-rtn"});
    EXPECT_FALSE(std::filesystem::exists(out + "/tokenizer.json"));
    expect_failure(run_program({"tokenize", file_, "-p", "a"}), kNotFound, {"no vocabulary"});
    const io::Json verified = run({"verify", file_, "--json"}).json();
    EXPECT_EQ(verified.at("notes").as_array().size(), 1u);  // that it runs on ids
}

TEST_F(Gguf, ABrokenFileIsRefusedByEveryCommand) {
    std::ofstream(file_, std::ios::binary) << gguf_.bytes().substr(0, 3000);
    for (const std::string command : {"inspect", "generate", "perplexity", "tokenize"}) {
        Words arguments = {command, file_};
        if (command == "generate" || command == "tokenize")
            arguments.insert(arguments.end(), {"-p", "a"});
        if (command == "perplexity") arguments.insert(arguments.end(), {"--text", text_});
        expect_failure(run_program(arguments), kCorrupt, {"model-f32.gguf", "cut"});
    }
    expect_failure(run_program({"quantize", file_, dir_ / "out", "--recipe", "quarot-rtn"}),
                   kCorrupt, {"model-f32.gguf", "cut"});
    EXPECT_FALSE(std::filesystem::exists(dir_ / "out"));
}

}  // namespace
}  // namespace quarot::test
