// Do ranges without special tokens stay where their text goes?
#include "tokenizer/plain_ranges.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "core/expect_error.h"
#include "tokenizer/normalizer.h"
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

// Where the ranges are in the normalized text: "[" and "]" at their ends.
std::string moved(std::string_view normalizer, std::string_view text,
                  const std::vector<TextRange>& ranges) {
    const io::Json json = test::parse(normalizer);
    const Normalizer rules(&json);
    Normalizer::Worker worker(rules);
    const auto result = worker.normalize(std::string(text), ranges);
    EXPECT_EQ(result.text, worker.apply(std::string(text)));
    const std::string_view all = result.text;
    std::string marked;
    size_t done = 0;
    for (const auto& [begin, end] : result.plain) {
        marked += all.substr(done, begin - done);
        marked += '[';
        marked += all.substr(begin, end - begin);
        marked += ']';
        done = end;
    }
    marked += all.substr(done);
    return marked;
}

TEST(PlainRanges, GoWhereTheirTextGoes) {
    const std::string longer =
        R"({"type": "Replace", "pattern": {"String": "ab"}, "content": "xyz"})";
    EXPECT_EQ(moved(longer, "ab-ab-ab", {{0, 2}, {3, 5}}), "[xyz]-[xyz]-xyz");
    EXPECT_EQ(moved(longer, "abab", {{1, 2}, {2, 3}}), "[xyz][xyz]");  // outwards
    EXPECT_EQ(moved(longer, "ab", {{0, 1}, {1, 2}}), "[xyz][]");
    EXPECT_EQ(moved(R"({"type": "Replace", "pattern": {"Regex": "x*"}, "content": "-"})", "axb",
                    {{0, 1}, {2, 3}}),
              "[-a]-[b]-");
    EXPECT_EQ(moved(R"({"type": "Prepend", "prepend": "__"})", "abcd", {{0, 1}, {2, 4}}),
              "[__a]b[cd]");
    EXPECT_EQ(moved(R"({"type": "Strip", "strip_left": true, "strip_right": true})", "  ab  ",
                    {{0, 1}, {1, 3}, {4, 6}}),
              "[][a]b[]");
    EXPECT_EQ(moved(R"({"type": "Lowercase"})", "\u0130\u0130A", {{2, 4}}), "i\u0307[i\u0307]a");
    EXPECT_EQ(moved(R"({"type": "ByteLevel"})", "a b c", {{1, 3}}), "a[\u0120b]\u0120c");
}

TEST(PlainRanges, KeepTheirPlaceAmongCharactersThatCompose) {
    const std::string nfc = R"({"type": "NFC"})";
    EXPECT_EQ(moved(nfc, "<e\u0301>\u4F60\u597D", {{5, 8}}), "<\u00E9>[\u4F60]\u597D");
    EXPECT_EQ(moved(nfc, "<\u4F60e\u0301\u597D>", {{4, 7}, {7, 10}}), "<\u4F60[\u00E9][\u597D]>");
    // What composes across a border cannot be told apart: all that may compose is in the range.
    EXPECT_EQ(moved(nfc, "<ae\u0301>", {{3, 5}}), "<a[\u00E9]>");
    EXPECT_EQ(moved(R"({"type": "NFD"})", "\u00E9\u00E9", {{2, 4}}), "e\u0301[e\u0301]");
}

TEST(PlainRanges, AreMovedInOneWalkHoweverManyTheyAre) {
    std::string text;
    std::vector<TextRange> ranges;
    for (size_t at = 0; at < (size_t{1} << 18); at += 4) {
        text += "A\u00E9 ";
        ranges.push_back({at, at + 3});
    }
    const io::Json json = test::parse(R"({"type": "Sequence", "normalizers": [
        {"type": "NFC"}, {"type": "Lowercase"}, {"type": "ByteLevel"},
        {"type": "Prepend", "prepend": "_"},
        {"type": "Replace", "pattern": {"String": "a"}, "content": "bb"}]})");
    const Normalizer normalizer(&json);
    const auto result = Normalizer::Worker(normalizer).normalize(text, ranges);
    ASSERT_EQ(result.plain.size(), ranges.size());
    EXPECT_EQ(result.plain.back().end, result.text.size() - std::string("\u0120").size());
    EXPECT_LE(result.range_steps, 5 * (text.size() + 2 * 2 * ranges.size()));
}

TEST(PlainRanges, OnesOutOfOrderOrOutsideTheTextAreRefused) {
    const Tokenizer tokenizer = model();
    for (const std::vector<TextRange>& ranges :
         {std::vector<TextRange>{{0, 4}}, {{2, 1}}, {{0, 2}, {1, 3}}}) {
        expect_error(ErrorCode::Usage, {"plain range"},
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
