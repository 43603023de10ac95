// Where does a text stand in another, whatever both hold?
#include "io/text.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

namespace quarot::io {
namespace {

TEST(FindBytes, GivesTheFirstPlaceFromABound) {
    EXPECT_EQ(find_bytes("abcabc", "bc"), 1U);
    EXPECT_EQ(find_bytes("abcabc", "bc", 1), 1U);
    EXPECT_EQ(find_bytes("abcabc", "bc", 2), 4U);
    EXPECT_EQ(find_bytes("abcabc", "bcd"), std::string_view::npos);
    EXPECT_EQ(find_bytes("abc", "abcd"), std::string_view::npos);
}

TEST(FindBytes, NothingIsFoundAtEachPlaceWithinTheText) {
    EXPECT_EQ(find_bytes("abc", ""), 0U);
    EXPECT_EQ(find_bytes("abc", "", 3), 3U);
    EXPECT_EQ(find_bytes("abc", "", 4), std::string_view::npos);
    EXPECT_EQ(find_bytes("", "a"), std::string_view::npos);
}

TEST(FindBytes, ZerosAreBytesLikeOthers) {
    const std::string text("a\0b\0c", 5);
    EXPECT_EQ(find_bytes(text, std::string_view("\0c", 2)), 3U);
}

// The product of these lengths is out of reach.
TEST(FindBytes, TextsThatAlmostMatchEverywhereCostOneWalk) {
    const std::string text(size_t{1} << 24, 'a');
    std::string needle(size_t{1} << 23, 'a');
    needle[needle.size() / 2] = 'b';
    EXPECT_EQ(find_bytes(text, needle), std::string_view::npos);
    needle.back() = 'b';
    EXPECT_EQ(find_bytes(text, needle), std::string_view::npos);
}

}  // namespace
}  // namespace quarot::io
