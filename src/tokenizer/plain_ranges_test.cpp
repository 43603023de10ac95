#include "tokenizer/plain_ranges.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "io/expect_error.h"
#include "tokenizer/test_model.h"

namespace quarot::tokenizer {
namespace {

using Ids = std::vector<int32_t>;

// <s> is 256 + 1; a merge reaches from the text of the template into that of the user.
Tokenizer model() {
    return test::load(test::byte_level_model({{"a", "b"}}));
}

TEST(PlainRanges, SpecialTokensInThemAreOrdinaryText) {
    const Tokenizer tokenizer = model();
    const int32_t special = *tokenizer.id_of("<s>");
    const int32_t ab = *tokenizer.id_of("ab");
    const std::vector<TextRange> user{{4, 8}};
    EXPECT_EQ(tokenizer.encode("<s>a<s>b<s>", AddBos::Auto, user),
              (Ids{special, 'a', '<', 's', '>', 'b', special}));
    EXPECT_EQ(tokenizer.encode("<s>ab<s>", AddBos::Auto, std::vector<TextRange>{{4, 5}}),
              (Ids{special, ab, special}));
}

TEST(PlainRanges, StayInPlaceWhenInvalidBytesAreReplaced) {
    const Tokenizer tokenizer = model();
    const int32_t special = *tokenizer.id_of("<s>");
    const std::vector<TextRange> user{{2, 5}};
    EXPECT_EQ(tokenizer.encode("\xFF\xFF<s><s>", AddBos::Auto, user),
              (Ids{0xEF, 0xBF, 0xBD, 0xEF, 0xBF, 0xBD, '<', 's', '>', special}));
}

TEST(PlainRanges, FollowTheTextThroughTheNormalizer) {
    io::Json json = test::metaspace_model({"\u2581", "<", "s", ">", "a"});
    io::Json token = test::added_token("<s>", 1);
    token.set("normalized", true);
    json.set("added_tokens", io::Json::Array{token});
    json.set("normalizer", test::parse(R"({"type": "Replace", "pattern": {"String": " "},
                                           "content": "▁"})"));
    const Tokenizer tokenizer = test::load(json);
    const std::vector<TextRange> user{{4, 8}};
    EXPECT_EQ(tokenizer.encode("<s>  <s> <s>", AddBos::Auto, user),
              (Ids{1, 259, 259, 260, 261, 262, 259, 1}));
}

TEST(PlainRanges, OnesOutOfOrderOrOutsideTheTextAreRefused) {
    const Tokenizer tokenizer = model();
    for (const std::vector<TextRange>& ranges :
         {std::vector<TextRange>{{0, 4}}, {{2, 1}}, {{0, 2}, {1, 3}}}) {
        io::expect_error(ErrorCode::Usage, {"plain range"},
                         [&] { tokenizer.encode("abc", AddBos::Auto, ranges); });
    }
}

TEST(PlainRanges, AreCutAtTheEndsOfAStretch) {
    const std::vector<TextRange> ranges{{1, 2}, {3, 7}, {8, 8}, {9, 12}};
    PlainRanges plain(ranges);
    const auto listed = [](const std::vector<TextRange>& found) {
        std::string text;
        for (const auto& [begin, end] : found) {
            text += std::to_string(begin) + "-" + std::to_string(end) + " ";
        }
        return text;
    };
    EXPECT_EQ(listed(plain.within(0, 4)), "1-2 3-4 ");
    EXPECT_EQ(listed(plain.within(4, 6)), "0-2 ");
    EXPECT_EQ(listed(plain.within(6, 20)), "0-1 3-6 ");
    EXPECT_EQ(listed(plain.within(20, 30)), "");
}

}  // namespace
}  // namespace quarot::tokenizer
