// quarot eval from outside: a task's table and document, a log of items, two logs compared, and
// what is said of names and data that cannot be.
#include <gtest/gtest.h>

#include <filesystem>

#include "e2e/command_words.h"
#include "e2e/expectations.h"
#include "e2e/model_surgery.h"
#include "e2e/program.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"

namespace quarot::test {
namespace {

class EvalCommand : public testing::Test {
  protected:
    void SetUp() override {
        write_tiny_model(model_);
        std::filesystem::create_directories(data_);
        write_bytes(data_ + "/piqa.jsonl",
                    R"({"goal": "ab", "sol1": "cd", "sol2": "dc", "label": 0})"
                    "\n"
                    R"({"goal": "ba", "sol1": "c", "sol2": "ddd", "label": 1})"
                    "\n");
    }
    Outcome eval(const std::string& tasks, const Words& flags = {}) const {
        Words words = {"eval", model_, "--tasks", tasks, "--data", data_};
        words.insert(words.end(), flags.begin(), flags.end());
        return run_program(words);
    }

    const TempDir dir_;
    const std::string model_ = dir_ / "model", data_ = dir_ / "data", log_ = dir_ / "log.jsonl";
};

TEST_F(EvalCommand, AnswersATaskAsADocumentAndAsATable) {
    const Outcome outcome = eval("piqa", {"--json"});
    expect_success(outcome);
    const io::Json json = outcome.json();
    EXPECT_EQ(json.at("requests").as_int(), 4);
    const io::Json& piqa = json.at("results").at("piqa");
    EXPECT_EQ(piqa.at("n").as_int(), 2);
    EXPECT_GE(piqa.at("acc").as_double(), 0.0);
    EXPECT_LE(piqa.at("acc").as_double(), 1.0);
    const Outcome table = eval("piqa", {"--limit", "1"});
    expect_success(table);
    EXPECT_NE(table.out.find("1 items, 2 requests"), std::string::npos) << table.out;
}

TEST_F(EvalCommand, LogsItemsAndComparesTwoLogs) {
    expect_success(eval("piqa", {"--log-items", log_}));
    expect_success(eval("piqa", {"--log-items", log_ + "2", "--kv-bits", "2"}));
    EXPECT_EQ(eval("piqa", {"--log-items", log_}).exit_code, 2) << "the file exists";
    const Outcome outcome = run_program({"eval", "--compare", log_, log_ + "2", "--json"});
    expect_success(outcome);
    const io::Json json = outcome.json();
    EXPECT_EQ(json.at("comparison").at("piqa").at("n").as_int(), 2);
}

TEST_F(EvalCommand, ResumesBesideALogAlone) {
    const Outcome outcome = eval("piqa", {"--resume"});
    EXPECT_EQ(outcome.exit_code, 2);
    EXPECT_NE(outcome.err.find("--resume needs --log-items"), std::string::npos) << outcome.err;
    expect_success(eval("piqa", {"--resume", "--log-items", log_}));
    EXPECT_TRUE(std::filesystem::exists(log_));
    EXPECT_FALSE(std::filesystem::exists(log_ + ".partial"));
    write_bytes(log_ + "2.partial", R"({"job": "of yesterday"})");
    const Outcome other = eval("piqa", {"--resume", "--log-items", log_ + "2"});
    EXPECT_EQ(other.exit_code, 2);
    EXPECT_NE(other.err.find("another model"), std::string::npos) << other.err;
    const Outcome anew = eval("piqa", {"--log-items", log_ + "2"});
    expect_success(anew);
    EXPECT_NE(anew.err.find("is replaced; --resume"), std::string::npos) << anew.err;
}

TEST_F(EvalCommand, KeepsScoresWhereItsLogCannotBeWrittenForTheSameConfigAlone) {
    std::filesystem::create_directories(log_ + "/full");
    const Outcome refused = eval("piqa", {"--log-items", log_, "--overwrite"});
    EXPECT_EQ(refused.exit_code, kIo) << refused.err;
    EXPECT_NE(refused.err.find("4 requests are scored"), std::string::npos) << refused.err;
    std::filesystem::remove_all(log_);
    const std::string config = model_ + "/config.json", as_it_was = read_bytes(config);
    write_bytes(config, as_it_was + "\n");
    const Words again = {"--log-items", log_, "--resume"};
    const Outcome other = eval("piqa", again);
    EXPECT_EQ(other.exit_code, kUsage) << other.err;
    EXPECT_NE(other.err.find("another model"), std::string::npos) << other.err;
    write_bytes(config, as_it_was);
    const Outcome resumed = eval("piqa", again);
    expect_success(resumed);
    EXPECT_NE(resumed.err.find("4 of 4 requests were scored before"), std::string::npos)
        << resumed.err;
}

TEST_F(EvalCommand, OverwritesALogAlone) {
    expect_failure(eval("piqa", {"--overwrite"}), kUsage, {"--overwrite needs --log-items"});
    expect_success(eval("piqa", {"--overwrite=false"}));
}

TEST_F(EvalCommand, SaysWhichTaskFileOrLineIsWrong) {
    const Outcome unknown = eval("piqa,boolq");
    EXPECT_EQ(unknown.exit_code, 2);
    EXPECT_NE(unknown.err.find("piqa, winogrande, hellaswag"), std::string::npos) << unknown.err;
    const Outcome missing = eval("arc_easy");
    EXPECT_EQ(missing.exit_code, 3);
    EXPECT_NE(missing.err.find("arc_easy.jsonl"), std::string::npos) << missing.err;
    write_bytes(data_ + "/winogrande.jsonl", "{\"sentence\": \"_\"\n");
    const Outcome broken = eval("winogrande");
    EXPECT_EQ(broken.exit_code, 5);
    EXPECT_NE(broken.err.find("winogrande.jsonl:1"), std::string::npos) << broken.err;
}

}  // namespace
}  // namespace quarot::test
