#include "verify/problem_list.h"

#include <gtest/gtest.h>

#include <string>

namespace quarot::verify {
namespace {

TEST(ProblemList, KeepsTheOrderAndEachSentenceOnce) {
    ProblemList problems;
    EXPECT_TRUE(problems.empty());
    for (const char* sentence : {"b", "a", "b", "c", "a"}) problems.add(sentence);
    EXPECT_EQ(problems.sentences(), (std::vector<std::string>{"b", "a", "c"}));
    EXPECT_EQ(problems.n_more(), 0);
    EXPECT_FALSE(problems.empty());
}

TEST(ProblemList, CountsAMillionAndListsTheFirst) {
    constexpr int64_t kMillion = 1'000'000;
    ProblemList problems;
    for (int64_t i = 0; i < kMillion; ++i) problems.add(std::to_string(i));
    EXPECT_EQ(problems.sentences().size(), limits::kProblems);
    EXPECT_EQ(problems.sentences().back(), std::to_string(limits::kProblems - 1));
    EXPECT_EQ(problems.n_more(), kMillion - static_cast<int64_t>(limits::kProblems));
    problems.add("0");
    EXPECT_EQ(problems.n_more(), kMillion - static_cast<int64_t>(limits::kProblems));
}

}  // namespace
}  // namespace quarot::verify
