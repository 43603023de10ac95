#include "reproduce/zero_shot.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "core/expect_error.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"

namespace quarot::reproduce {
namespace {

constexpr const char* kPiqa = R"({"goal": "ab", "sol1": "cd", "sol2": "dc", "label": 0}
{"goal": "ba", "sol1": "c", "sol2": "ddd", "label": 1}
)";

class ReadZeroShot : public testing::Test {
  protected:
    void SetUp() override {
        test::write_tiny_model(dir / "model");
        std::filesystem::create_directories(data);
        write("piqa.jsonl", kPiqa);
    }
    void write(const std::string& name, const std::string& text) const {
        std::ofstream(data + "/" + name) << text;
    }
    ZeroShotQuestions read(int64_t limit = 0) const {
        return read_zero_shot(data, limit, tokenizer::Tokenizer::load(dir / "model"),
                              tokenizer::AddBos::Auto);
    }

    const test::TempDir dir;
    const std::string data = dir / "data";
};

TEST_F(ReadZeroShot, TakesTheTasksThatAreThereAndSaysWhyOthersAreNot) {
    const ZeroShotQuestions questions = read();
    ASSERT_EQ(questions.tasks.size(), 1u);
    EXPECT_EQ(questions.tasks.front().name(), "piqa");
    EXPECT_EQ(questions.tasks.front().pairs.size(), 4u);
    EXPECT_GT(questions.tasks.front().n_tokens(), 8);
    ASSERT_EQ(questions.missing.size(), 5u);
    EXPECT_NE(questions.missing.front().find("winogrande.jsonl"), std::string::npos);
    EXPECT_EQ(read(1).tasks.front().pairs.size(), 2u);
}

TEST_F(ReadZeroShot, DigestsWhatIsAskedAndWhatIsRight) {
    const std::string digest = read().tasks.front().digest;
    EXPECT_EQ(read().tasks.front().digest, digest);
    EXPECT_NE(read(1).tasks.front().digest, digest);
    std::string other = kPiqa;
    other.replace(other.find("label\": 0"), 9, "label\": 1");
    write("piqa.jsonl", other);
    EXPECT_NE(read().tasks.front().digest, digest) << "another right answer";
    other = kPiqa;
    other.replace(other.find("cd"), 2, "ce");
    write("piqa.jsonl", other);
    EXPECT_NE(read().tasks.front().digest, digest) << "another choice";
}

TEST_F(ReadZeroShot, RefusesAFolderWithoutAnyTaskAndABrokenFile) {
    write("arc_easy.jsonl", "{\"question\": \n");
    expect_error(ErrorCode::Corrupt, {"arc_easy.jsonl:1"}, [&] { read(); });
    std::filesystem::remove_all(data);
    std::filesystem::create_directories(data);
    expect_error(ErrorCode::NotFound, {data, "no zero-shot task", "piqa.jsonl"}, [&] { read(); });
}

TEST(TaskScoreJson, ComesBackAsItWas) {
    TaskScore score{.task = "piqa",
                    .metric = "acc_norm",
                    .percent = 61.25,
                    .percent_error = 1.0625,
                    .n = 1838,
                    .seconds = 2.5};
    EXPECT_EQ(to_json(task_score_from_json(to_json(score))).dump(), to_json(score).dump());
    score = {.task = "piqa", .reason = "NaN in layer 3"};
    const TaskScore read = task_score_from_json(to_json(score));
    EXPECT_FALSE(read.percent);
    EXPECT_EQ(read.reason, score.reason);
    io::Json bad = to_json(score);
    bad.set("percent", 101.0);
    expect_error(ErrorCode::Corrupt, {"percent", "101", "0 to 100"},
                 [&] { task_score_from_json(io::Json::parse(bad.dump(), "row.json")); });
}

TEST(ScoreOf, TakesAccNormWhereATaskHasIt) {
    eval::TaskResult result;
    result.task = "piqa";
    result.acc = {.value = 0.25, .standard_error = 0.5};
    EXPECT_EQ(score_of(result).percent, 25.0);
    EXPECT_EQ(score_of(result).metric, "acc");
    result.acc_norm = {.value = 0.5, .standard_error = 0.125};
    EXPECT_EQ(score_of(result).percent, 50.0);
    EXPECT_EQ(score_of(result).percent_error, 12.5);
    EXPECT_EQ(score_of(result).metric, "acc_norm");
}

TEST(AveragePercent, IsThatOfAllTasksOrNone) {
    std::vector<TaskScore> scores;
    for (const double percent : {10.0, 20.0, 30.0, 40.0, 50.0}) {
        scores.push_back({.task = "t", .percent = percent});
        EXPECT_FALSE(average_percent(scores));
    }
    scores.push_back({.task = "t", .percent = 90.0});
    EXPECT_EQ(average_percent(scores), 40.0);
    scores.front().percent = std::nullopt;
    EXPECT_FALSE(average_percent(scores));
}

}  // namespace
}  // namespace quarot::reproduce
