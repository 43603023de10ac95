#include "eval/window.h"

#include <gtest/gtest.h>

#include <numeric>

#include "core/expect_error.h"

namespace quarot::eval {

namespace {

using Ids = std::vector<int32_t>;

Ids counted(int32_t n) {
    Ids ids(static_cast<size_t>(n));
    std::iota(ids.begin(), ids.end(), 0);
    return ids;
}

}  // namespace

TEST(Window, ThePapersScoreAllButTheFirstTokenAndDropTheRest) {
    const std::vector<Window> windows = paper_windows(counted(11), 4, 0);
    ASSERT_EQ(windows.size(), 2u);
    EXPECT_EQ(windows[1].inputs, (Ids{4, 5, 6, 7}));
    EXPECT_EQ(windows[1].targets, (Ids{5, 6, 7}));
    EXPECT_EQ(windows[1].first_scored, 0);
    EXPECT_EQ(paper_windows(counted(11), 4, 1).size(), 1u);
    EXPECT_EQ(paper_windows(counted(11), 4, 9).size(), 2u);
}

TEST(Window, LlamaCppsScoreTheSecondHalfBehindABos) {
    const std::vector<Window> windows = llama_cpp_windows(counted(12), 6, 0, 99);
    ASSERT_EQ(windows.size(), 2u);
    EXPECT_EQ(windows[0].inputs, (Ids{99, 1, 2, 3, 4, 5}));
    EXPECT_EQ(windows[0].targets, (Ids{4, 5})) << "n - 1 - n / 2 of them";
    EXPECT_EQ(windows[0].first_scored, 3);
    EXPECT_EQ(windows[1].inputs, (Ids{99, 7, 8, 9, 10, 11}));
    EXPECT_EQ(llama_cpp_windows(counted(7), 7, 0, {})[0].targets, (Ids{4, 5, 6}));
    EXPECT_EQ(llama_cpp_windows(counted(7), 7, 0, {})[0].inputs, counted(7));
}

TEST(Window, RollingOnesPredictEveryTokenOnceWithAllTheContextThatFits) {
    const std::vector<Window> windows =
        rolling_windows(Ids{10, 11, 12, 13, 14, 15, 16, 17, 18}, 4, 99, 7);
    ASSERT_EQ(windows.size(), 3u);
    EXPECT_EQ(windows[0].inputs, (Ids{99, 10, 11, 12}));
    EXPECT_EQ(windows[0].targets, (Ids{10, 11, 12, 13}));
    EXPECT_EQ(windows[0].first_scored, 0);
    EXPECT_EQ(windows[1].inputs, (Ids{13, 14, 15, 16}));
    EXPECT_EQ(windows[1].targets, (Ids{14, 15, 16, 17}));
    EXPECT_EQ(windows[2].inputs, (Ids{14, 15, 16, 17}));
    EXPECT_EQ(windows[2].targets, (Ids{18}));
    EXPECT_EQ(windows[2].first_scored, 3);
    EXPECT_EQ(windows[2].document, 7);
}

TEST(Window, RollingOnesOfAShortDocument) {
    const std::vector<Window> windows = rolling_windows(Ids{10, 11}, 4, 99, 0);
    ASSERT_EQ(windows.size(), 1u);
    EXPECT_EQ(windows[0].inputs, (Ids{99, 10}));
    EXPECT_EQ(windows[0].targets, (Ids{10, 11}));
    EXPECT_TRUE(rolling_windows({}, 4, 99, 0).empty());
    EXPECT_EQ(rolling_windows(counted(8), 4, 99, 0).size(), 2u);
}

TEST(Window, RefusesWhatLeavesNothingToScore) {
    expect_error(ErrorCode::Usage, {"3", "4"}, [] { paper_windows(counted(3), 4, 0); });
    expect_error(ErrorCode::Usage, {"at least 2"}, [] { paper_windows(counted(3), 1, 0); });
    expect_error(ErrorCode::Usage, {"at least 3"}, [] { llama_cpp_windows(counted(3), 2, 0, {}); });
}

}  // namespace quarot::eval
