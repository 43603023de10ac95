#include "generation/stop_filter.h"

#include <gtest/gtest.h>

namespace quarot::generation {
namespace {

TEST(StopFilter, PassesTextThroughWithoutStopStrings) {
    StopFilter filter({});
    EXPECT_EQ(filter.put("abc"), "abc");
    EXPECT_EQ(filter.finish(), "");
}

TEST(StopFilter, CutsBeforeTheStopStringAndDropsTheRest) {
    StopFilter filter({"END"});
    EXPECT_EQ(filter.put("one END two"), "one ");
    EXPECT_TRUE(filter.stopped());
    EXPECT_EQ(filter.put("three"), "");
    EXPECT_EQ(filter.finish(), "");
}

TEST(StopFilter, FindsAStopStringThatComesInPieces) {
    StopFilter filter({"END"});
    EXPECT_EQ(filter.put("one E"), "one ");
    EXPECT_EQ(filter.put("N"), "");
    EXPECT_FALSE(filter.stopped());
    EXPECT_EQ(filter.put("D"), "");
    EXPECT_TRUE(filter.stopped());
}

TEST(StopFilter, GivesBackWhatOnlyLookedLikeAStopString) {
    StopFilter filter({"aab"});
    EXPECT_EQ(filter.put("aa"), "");
    EXPECT_EQ(filter.put("a"), "a");  // "aa" may still go on to "aab"
    EXPECT_EQ(filter.put("c"), "aac");
    EXPECT_EQ(filter.put("a"), "");
    EXPECT_EQ(filter.finish(), "a");
    EXPECT_FALSE(filter.stopped());
}

TEST(StopFilter, TheEarliestOfSeveralStopStringsCounts) {
    StopFilter filter({"two", "one"});
    EXPECT_EQ(filter.put("0 one two"), "0 ");
}

TEST(StopFilter, IgnoresEmptyStopStrings) {
    StopFilter filter({""});
    EXPECT_EQ(filter.put("abc"), "abc");
    EXPECT_FALSE(filter.stopped());
}

}  // namespace
}  // namespace quarot::generation
