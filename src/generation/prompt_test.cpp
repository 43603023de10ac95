#include "generation/prompt.h"

#include <gtest/gtest.h>

#include <limits>

#include "core/error.h"

namespace quarot::generation {
namespace {

TEST(PositionsNeeded, AreThoseOfPromptAndNewTokens) {
    EXPECT_EQ(positions_needed(3, 4, 100, ""), 7);
    EXPECT_EQ(positions_needed(3, std::nullopt, 100, ""), 100);
}

TEST(PositionsNeeded, EndWithTheContextHoweverManyTokensAreAskedFor) {
    EXPECT_EQ(positions_needed(3, 200, 100, ""), 100);
    EXPECT_EQ(positions_needed(3, std::numeric_limits<int64_t>::max(), 100, ""), 100);
    EXPECT_EQ(positions_needed(100, 1, 100, ""), 100);
}

TEST(PositionsNeeded, RefuseAPromptThatDoesNotFit) {
    try {
        positions_needed(101, 1, 100, "; take a shorter one");
        FAIL() << "the prompt was taken";
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::Usage);
        EXPECT_STREQ(error.what(),
                     "the prompt has 101 tokens, but the context ends at 100; take a shorter one");
    }
}

}  // namespace
}  // namespace quarot::generation
