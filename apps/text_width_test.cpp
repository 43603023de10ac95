#include "apps/text_width.h"

#include <gtest/gtest.h>

namespace quarot::apps {
namespace {

TEST(Wrapped, BreaksAtSpacesWithinTheWidth) {
    EXPECT_EQ(wrapped("aa bb cc", 0, 2, 5), "aa bb\n  cc");
    EXPECT_EQ(wrapped("aa bb cc", 3, 3, 5), "aa\n   bb\n   cc");
    EXPECT_EQ(wrapped("aa bb cc", 0, 0, 8), "aa bb cc") << "just fits";
}

TEST(Wrapped, ALongWordKeepsItsLine) {
    EXPECT_EQ(wrapped("a toolongword b", 0, 1, 5), "a\n toolongword\n b");
}

TEST(Wrapped, CommandsCarryOn) {
    EXPECT_EQ(wrapped("run --one --two", 0, 2, 11, " \\"), "run --one \\\n  --two");
}

}  // namespace
}  // namespace quarot::apps
