#include "eval/partial_scores.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "core/expect_error.h"
#include "support/temp_dir.h"

namespace quarot::eval {

namespace {

class PartialScoresTest : public testing::Test {
  protected:
    const test::TempDir dir_;
    const std::string path_ = dir_.path() + "/log.partial";
};

}  // namespace

TEST_F(PartialScoresTest, AreReadAsTheyWereSaved) {
    PartialScores first(path_, "job", 4);
    first.load();
    EXPECT_EQ(first.n_known(), 0) << "no file";
    first.set(2, {.loglikelihood = -1.0 / 3.0, .is_greedy = true, .is_cut = false});
    first.set(0, {.loglikelihood = -1e-300, .is_greedy = false, .is_cut = true});
    first.save();
    PartialScores second(path_, "job", 4);
    second.load();
    ASSERT_EQ(second.n_known(), 2);
    EXPECT_EQ(second.scores()[2]->loglikelihood, -1.0 / 3.0);
    EXPECT_TRUE(second.scores()[2]->is_greedy);
    EXPECT_TRUE(second.scores()[0]->is_cut);
    EXPECT_FALSE(second.scores()[1]);
    second.remove();
    EXPECT_TRUE(std::filesystem::is_empty(dir_.path()));
}

TEST_F(PartialScoresTest, OfAnotherJobOrBrokenAreRefused) {
    PartialScores(path_, "job", 4).save();
    PartialScores other(path_, "another", 4);
    expect_error(ErrorCode::Usage, {path_, "another model"}, [&] { other.load(); });
    const auto expect_corrupt = [&](const std::string& line, const std::string& mention) {
        std::ofstream(path_) << "{\"job\": \"job\"}\n" << line << "\n";
        PartialScores scores(path_, "job", 4);
        expect_error(ErrorCode::Corrupt, {"log.partial:2", mention}, [&] { scores.load(); });
    };
    expect_corrupt(R"({"request": 4, "loglikelihood": -1, "greedy": true, "cut": true})", "4");
    expect_corrupt(R"({"request": 0, "greedy": true, "cut": true})", "loglikelihood");
    expect_corrupt(R"({"request": 0, "loglikelihood": 0.5, "greedy": true, "cut": true})", "0.5");
    expect_corrupt(R"({"request": 0, "loglikelihood": 1e999, "greedy": true, "cut": true})", "");
    expect_corrupt(R"({"request": 0, "loglikelihood": -1e999, "greedy": true, "cut": true})", "");
    expect_corrupt(R"({"request": 0, )", "");
    std::ofstream(path_) << "";
    PartialScores scores(path_, "job", 4);
    expect_error(ErrorCode::Corrupt, {"empty"}, [&] { scores.load(); });
}

}  // namespace quarot::eval
