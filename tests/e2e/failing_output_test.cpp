// Output that cannot be written: exit code 7 and nothing half-written, or exit code 2 before work.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "e2e/expectations.h"
#include "e2e/model_surgery.h"
#include "e2e/program.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"

namespace quarot::test {
namespace {

class FailingOutput : public testing::TestWithParam<int64_t> {
  protected:
    void SetUp() override { write_tiny_model(model_); }

    const TempDir dir_;
    const std::string model_ = dir_ / "model";
    const std::string out_ = dir_ / "out";
};

// The limit strikes at the first byte, within a header, within the data and near the end.
TEST_P(FailingOutput, QuantizeLeavesAtMostFinishedLayersWhenTheDiskIsFull) {
    const std::vector<std::string> before = listing(dir_.path());
    RunOptions options;
    options.max_file_bytes = GetParam();
    expect_failure(
        run_program({"quantize", model_, out_, "--recipe", "quarot-rtn", "--json"}, options), kIo,
        {"out"});
    EXPECT_FALSE(std::filesystem::exists(out_));
    if (!std::filesystem::exists(out_ + ".work")) {
        EXPECT_EQ(listing(dir_.path()), before);
        return;
    }
    expect_success(run_program({"quantize", model_, out_, "--recipe", "quarot-rtn", "--resume"}));
    EXPECT_FALSE(std::filesystem::exists(out_ + ".work"));
}

TEST_P(FailingOutput, LogitsLeavesNothingWhenTheDiskIsFull) {
    const std::vector<std::string> before = listing(dir_.path());
    RunOptions options;
    options.max_file_bytes = GetParam();
    expect_failure(
        run_program({"logits", model_, "-p", std::string(100, 'x'), "--out", out_}, options), kIo,
        {"out"});
    EXPECT_EQ(listing(dir_.path()), before);
}

INSTANTIATE_TEST_SUITE_P(Limits, FailingOutput, testing::Values(0, 100, 4000, 60000));

TEST_F(FailingOutput, AnOldFolderSurvivesAFullDisk) {
    expect_success(run_program({"quantize", model_, out_, "--recipe", "quarot-rtn"}));
    const std::string config = read_bytes(out_ + "/config.json");
    const std::vector<std::string> before = listing(dir_.path());
    RunOptions options;
    options.max_file_bytes = 4000;
    expect_failure(
        run_program({"quantize", model_, out_, "--recipe", "rtn", "--overwrite"}, options), kIo,
        {"out"});
    EXPECT_EQ(listing(dir_.path()), before);
    EXPECT_EQ(read_bytes(out_ + "/config.json"), config);
}

TEST_F(FailingOutput, OverwriteReplacesAFolderWhole) {
    expect_success(run_program({"quantize", model_, out_, "--recipe", "quarot-rtn"}));
    write_bytes(out_ + "/stale", "from before");
    expect_failure(run_program({"quantize", model_, out_, "--recipe", "quarot-rtn"}), kUsage,
                   {"out", "--overwrite"});
    expect_success(run_program(
        {"quantize", model_, out_, "--recipe", "quarot-rtn", "--overwrite", "--w-bits", "8"}));
    EXPECT_FALSE(std::filesystem::exists(out_ + "/stale"));
    const io::Json json = run_program({"inspect", out_, "--json"}).json();
    EXPECT_EQ(json.at("recipe").at("weights").at("bits").as_int(), 8);
}

TEST_F(FailingOutput, AFolderWithoutWritePermissionIsNamed) {
    if (geteuid() == 0) GTEST_SKIP() << "root may write everywhere";
    std::filesystem::create_directory(dir_ / "locked");
    chmod((dir_ / "locked").c_str(), 0555);
    expect_failure(run_program({"quantize", model_, dir_ / "locked/out", "--recipe", "quarot-rtn"}),
                   kIo, {"locked"});
    chmod((dir_ / "locked").c_str(), 0755);
}

TEST_F(FailingOutput, AFullStandardOutputIsNoSuccess) {
    RunOptions options;
    options.stdout_path = "/dev/full";
    for (const std::vector<std::string>& arguments :
         {std::vector<std::string>{"--help"},
          {"inspect", model_, "--json"},
          {"tokenize", model_, "-p", "abc"},
          {"generate", model_, "-p", "abc", "-n", "2", "--ignore-eos"}}) {
        expect_failure(run_program(arguments, options), kIo, {"standard output"});
    }
}

TEST_F(FailingOutput, AReaderThatHasGoneEndsTheProgramSilently) {
    RunOptions options;
    options.close_stdout = true;
    for (const std::vector<std::string>& arguments :
         {std::vector<std::string>{"--help"},
          {"inspect", model_, "--json"},
          {"generate", model_, "-p", "abc", "-n", "20", "--ignore-eos"}}) {
        const Outcome outcome = run_program(arguments, options);
        EXPECT_EQ(outcome.exit_code, 141) << outcome.command;
        EXPECT_EQ(outcome.err.find("error"), std::string::npos) << outcome.err;
    }
}

}  // namespace
}  // namespace quarot::test
