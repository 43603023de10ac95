// Results of two runs, written, read and compared item by item.
#include "eval/item_log.h"

#include <gtest/gtest.h>

#include <fstream>

#include "core/error.h"
#include "support/temp_dir.h"

namespace quarot::eval {

namespace {

ItemResult answered(int64_t prediction, int64_t gold, const std::string& digest) {
    return {.loglikelihoods = {-1.5, -2.25},
            .prediction = prediction,
            .prediction_norm = std::nullopt,
            .gold = gold,
            .digest = digest};
}

TaskResult task_with(std::vector<ItemResult> items) {
    TaskResult result;
    result.task = "winogrande";
    result.items = std::move(items);
    return result;
}

}  // namespace

TEST(ItemLog, IsReadAsItWasWritten) {
    const test::TempDir dir;
    const std::string path = dir.path() + "/a";
    write_item_log(path, std::vector{task_with({answered(1, 0, "x"), answered(0, 0, "y")})});
    const auto tasks = read_item_log(path);
    ASSERT_EQ(tasks.size(), 1u);
    EXPECT_EQ(tasks[0].task, "winogrande");
    ASSERT_EQ(tasks[0].items.size(), 2u);
    const ItemResult& first = tasks[0].items[0].result;
    EXPECT_EQ(first.loglikelihoods, (std::vector<double>{-1.5, -2.25}));
    EXPECT_EQ(first.prediction, 1);
    EXPECT_FALSE(first.prediction_norm);
    EXPECT_EQ(first.digest, "x");
    EXPECT_EQ(tasks[0].items[1].index, 1);
}

TEST(ItemLog, ComparisonCountsWhatOnlyOneHasRight) {
    const test::TempDir dir;
    const std::string a = dir.path() + "/a", b = dir.path() + "/b";
    write_item_log(a, std::vector{task_with({answered(0, 0, "x"), answered(1, 0, "y"),
                                             answered(1, 1, "z"), answered(0, 0, "w")})});
    write_item_log(
        b, std::vector{task_with({answered(1, 0, "x"), answered(0, 0, "y"), answered(0, 1, "z")})});
    const auto tasks = compare(a, b);
    ASSERT_EQ(tasks.size(), 1u);
    EXPECT_EQ(tasks[0].n, 3);
    EXPECT_EQ(tasks[0].n_single, 1);
    EXPECT_EQ(tasks[0].acc.a_alone, 2);
    EXPECT_EQ(tasks[0].acc.b_alone, 1);
    EXPECT_EQ(tasks[0].acc.changed, (std::vector<int64_t>{0, 1, 2}));
    EXPECT_NEAR(tasks[0].acc.a, 2.0 / 3.0, 1e-12);
    EXPECT_EQ(tasks[0].mean_loglikelihood_change, 0.0);
}

TEST(ItemLog, OtherItemsAndBrokenLinesAreRefused) {
    const test::TempDir dir;
    const std::string a = dir.path() + "/a", b = dir.path() + "/b", c = dir.path() + "/c";
    write_item_log(a, std::vector{task_with({answered(0, 0, "x")})});
    write_item_log(b, std::vector{task_with({answered(0, 0, "another")})});
    EXPECT_THROW(compare(a, b), Error);
    std::ofstream(c) << "{\"task\": \"piqa\"}\n";
    try {
        read_item_log(c);
        FAIL() << "a line without results is read";
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::Corrupt);
        EXPECT_NE(std::string(error.what()).find("/c:1"), std::string::npos) << error.what();
    }
}

}  // namespace quarot::eval
