// quarot verify from outside: what it prints, and the exit code that scripts ask for.
#include <gtest/gtest.h>

#include <filesystem>

#include "e2e/expectations.h"
#include "e2e/model_surgery.h"
#include "e2e/program.h"
#include "io/seal.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"

namespace quarot::test {
namespace {

constexpr int kCheckFailed = 9;

class VerifyCommand : public testing::Test {
  protected:
    void SetUp() override {
        write_tiny_model(model_);
        expect_success(run_program({"quantize", model_, quantized_, "--recipe", "quarot-rtn"}));
    }

    const TempDir dir_;
    const std::string model_ = dir_ / "model";
    const std::string quantized_ = dir_ / "w4";
};

TEST_F(VerifyCommand, TellsOfEveryFileWhetherItIsAsRecorded) {
    const Outcome outcome = run_program({"verify", quantized_, "--json"});
    expect_success(outcome);
    const io::Json json = outcome.json();
    expect_document(json, "verify", {"ok", "files", "problems", "more_problems", "notes"});
    EXPECT_TRUE(json.at("ok").as_bool());
    EXPECT_TRUE(json.at("problems").as_array().empty());
    for (const io::Json& file : json.at("files").as_array()) {
        EXPECT_EQ(file.at("sha256").as_string().size(), 64u);
        if (file.at("name").as_string() == "quarot.json") continue;
        EXPECT_TRUE(file.at("as_recorded").as_bool()) << file.at("name").as_string();
    }
}

TEST_F(VerifyCommand, TakesAPlainFolderAndSaysThatNothingIsRecorded) {
    const Outcome outcome = run_program({"verify", model_});
    expect_success(outcome);
    EXPECT_NE(outcome.out.find("not recorded"), std::string::npos);
    EXPECT_NE(outcome.out.find("no problems"), std::string::npos);
}

TEST_F(VerifyCommand, ALinkToNowhereIsAProblem) {
    std::filesystem::create_symlink("../../blobs/12ab", model_ + "/LICENSE");
    const Outcome outcome = run_program({"verify", model_, "--json"});
    EXPECT_EQ(outcome.exit_code, kCheckFailed);
    const io::Json json = outcome.json();
    const auto& problems = json.at("problems").as_array();
    ASSERT_EQ(problems.size(), 1u) << outcome.out;
    EXPECT_NE(problems[0].as_string().find("LICENSE: it is a link to ../../blobs/12ab"),
              std::string::npos);
}

TEST_F(VerifyCommand, EndsWithNineAndAllProblemsOnStdout) {
    write_bytes(quantized_ + "/tokenizer.json", "{}");
    write_bytes(quantized_ + "/generation_config.json", "[]");
    const Outcome outcome = run_program({"verify", quantized_, "--json"});
    EXPECT_EQ(outcome.exit_code, kCheckFailed);
    const io::Json json = outcome.json();
    EXPECT_FALSE(json.at("ok").as_bool());
    // Changed since it was recorded and no tokenizer; an unrecorded file and no object.
    EXPECT_EQ(json.at("problems").as_array().size(), 3u) << outcome.out;
    EXPECT_TRUE(outcome.err.starts_with("quarot: error: ")) << outcome.err;
    EXPECT_NE(outcome.err.find("3 problems"), std::string::npos) << outcome.err;

    const Outcome text = run_program({"verify", quantized_});
    EXPECT_EQ(text.exit_code, kCheckFailed);
    EXPECT_NE(text.out.find("CHANGED"), std::string::npos) << text.out;
    EXPECT_NE(text.out.find("problem: "), std::string::npos) << text.out;
}

TEST_F(VerifyCommand, ACheckThatAsksForTooMuchIsAProblemAndNotTheEnd) {
    edit_json(model_ + "/tokenizer.json", [](io::Json& json) {
        json.set("normalizer",
                 io::Json::Object{{"type", "Replace"},
                                  {"pattern", io::Json::Object{{"Regex", "(a|aa)+[bc]"}}},
                                  {"content", ""}});
        json.set("added_tokens",
                 io::Json::Array{io::Json::Object{{"id", 258},
                                                  {"content", std::string(1000, 'a')},
                                                  {"normalized", true},
                                                  {"special", false}}});
    });
    const Outcome outcome = run_program({"verify", model_, "--json"});
    EXPECT_EQ(outcome.exit_code, kCheckFailed) << outcome.err;
    const io::Json json = outcome.json();
    const io::Json::Array& problems = json.at("problems").as_array();
    ASSERT_EQ(problems.size(), 1u) << outcome.out;
    EXPECT_NE(problems[0].as_string().find("too much work"), std::string::npos) << outcome.out;
}

TEST_F(VerifyCommand, CountsTheProblemsThatAreMoreThanAnybodyReads) {
    io::Json::Object outputs;
    for (int i = 0; i < 1500; ++i) outputs.emplace_back("gone" + std::to_string(i), "");
    const io::Json record =
        io::Json::Object{{"schema", "quarot.provenance/1"}, {"outputs", std::move(outputs)}};
    write_bytes(model_ + "/quarot.json", io::sealed(record.dump()) + "\n");
    const Outcome outcome = run_program({"verify", model_, "--json"});
    EXPECT_EQ(outcome.exit_code, kCheckFailed) << outcome.err;
    const io::Json json = outcome.json();
    EXPECT_EQ(json.at("problems").as_array().size(), 1000u);
    const int64_t n_more = json.at("more_problems").as_int();
    EXPECT_GE(n_more, 500);
    EXPECT_NE(outcome.err.find(std::to_string(1000 + n_more) + " problems"), std::string::npos)
        << outcome.err;
    const Outcome text = run_program({"verify", model_});
    EXPECT_NE(text.out.find("and " + std::to_string(n_more) + " more\n"), std::string::npos);
}

TEST_F(VerifyCommand, AFolderThatIsNotThereIsNotAFailedCheck) {
    expect_failure(run_program({"verify", dir_ / "nothing", "--json"}), 3, {"nothing"});
    expect_failure(run_program({"verify"}), 2, {"-m"});
}

}  // namespace
}  // namespace quarot::test
