// Are added tokens found as if each were tried at every place, but in linear work?
#include "tokenizer/token_finder.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/limits.h"

namespace quarot::tokenizer {
namespace {

AddedToken plain(int32_t id, const std::string& content) {
    return {.id = id,
            .content = content,
            .special = true,
            .normalized = false,
            .lstrip = false,
            .rstrip = false,
            .single_word = false};
}

std::vector<Segment> segments(const TokenFinder& finder, std::string_view text,
                              std::span<const TextRange> plain = {}) {
    std::vector<Segment> found;
    finder.for_each_segment(text, plain, [&](const Segment& segment) { found.push_back(segment); });
    return found;
}

// What finding costs for each byte of a text.
double work_per_byte(const TokenFinder& finder, std::string_view text,
                     std::span<const TextRange> plain = {}) {
    const auto work = finder.for_each_segment(text, plain, [](const Segment&) {});
    return static_cast<double>(work) / static_cast<double>(text.size());
}

// Segments as readable text: "[id]" for a token.
std::string found(const std::vector<AddedToken>& tokens, const std::string& text,
                  std::span<const TextRange> plain = {}) {
    std::string result;
    for (const Segment& segment : segments(TokenFinder(tokens), text, plain)) {
        result += segment.id ? fmt::format("[{}]", *segment.id) : fmt::format("({})", segment.text);
    }
    return result;
}

TEST(TokenFinder, CutTheTextWhereTheyStand) {
    const std::vector<AddedToken> tokens{plain(7, "<x>")};
    EXPECT_EQ(found(tokens, "a<x>b"), "(a)[7](b)");
    EXPECT_EQ(found(tokens, "<x><x>"), "[7][7]");
    EXPECT_EQ(found(tokens, "<<x"), "(<<x)");
    EXPECT_EQ(found(tokens, ""), "");
}

TEST(TokenFinder, TheLeftmostThenTheLongestIsFound) {
    const std::vector<AddedToken> tokens{plain(1, "<x>"), plain(2, "<x>y"), plain(3, ">ya")};
    EXPECT_EQ(found(tokens, "a<x>ya"), "(a)[2](a)");
    EXPECT_EQ(found(tokens, "<x>z>ya"), "[1](z)[3]");
    EXPECT_EQ(found({plain(1, "ab"), plain(2, "abcd")}, "abce"), "[1](ce)");
}

TEST(TokenFinder, StrippingTokensSwallowTheSpacesBesideThem) {
    AddedToken left = plain(1, "<l>");
    left.lstrip = true;
    AddedToken right = plain(2, "<r>");
    right.rstrip = true;
    EXPECT_EQ(found({left, right}, "a \u2003<l> b"), "(a)[1]( b)");
    EXPECT_EQ(found({left, right}, "a <r>\n b"), "(a )[2](b)");
    EXPECT_EQ(found({left, right}, "a<r> <l> <r> "), "(a)[2][1]( )[2]");
}

TEST(TokenFinder, ATokenOfSpacesAlreadySwallowedIsFoundOnlyIfItDoesNotStripLeft) {
    AddedToken right = plain(1, "<r>");
    right.rstrip = true;
    AddedToken space = plain(2, " ");
    EXPECT_EQ(found({right, space}, "<r> a"), "[1][2](a)");
    space.lstrip = true;
    EXPECT_EQ(found({right, space}, "<r> a"), "[1](a)");
}

TEST(TokenFinder, OfEqualStringsTheFirstCounts) {
    EXPECT_EQ(found({plain(1, "x"), plain(2, "x")}, "x"), "[1]");
}

TEST(TokenFinder, ASingleWordHidesWhatBeginsInItEvenWhereItDoesNotCount) {
    AddedToken word = plain(1, "ab");
    word.single_word = true;
    const std::vector<AddedToken> tokens{word, plain(2, "b.")};
    EXPECT_EQ(found(tokens, "ab c"), "[1]( c)");
    EXPECT_EQ(found(tokens, "-ab."), "(-)[1](.)");
    EXPECT_EQ(found(tokens, "xab."), "(xab.)");
    EXPECT_EQ(found(tokens, "ab\u0301 \u00E9ab _ab"), "(ab\u0301 \u00E9ab _ab)");
}

TEST(TokenFinder, SpecialTokensThatOverlapPlainRangesAreNotFound) {
    AddedToken open = plain(3, "<o>");
    open.special = false;
    const TokenFinder finder({plain(1, "<x>"), plain(2, "<x>y"), open});
    const auto found_in = [&](const std::string& text, std::vector<TextRange> ranges) {
        std::string result;
        for (const Segment& segment : segments(finder, text, ranges)) {
            result += segment.id ? fmt::format("[{}]", *segment.id) : std::string(segment.text);
        }
        return result;
    };
    EXPECT_EQ(found_in("<x>a<x>b<x>", {{3, 8}}), "[1]a<x>b[1]");
    EXPECT_EQ(found_in("<x>a<x>b<x>", {{5, 6}}), "[1]a<x>b[1]");
    EXPECT_EQ(found_in("<x>a<x>b<x>", {{0, 0}, {4, 4}, {11, 11}}), "[1]a[1]b[1]");
    EXPECT_EQ(found_in("<x>yy", {{3, 5}}), "[1]yy");  // the longer one would reach into it
    EXPECT_EQ(found_in("<<x><o>", {{0, 1}}), "<[1][3]");
    EXPECT_EQ(found_in("<o><x>", {{0, 6}}), "[3]<x>");
}

// The longest permitted token that begins at each place, by trying them all.
std::string found_naively(const std::vector<AddedToken>& tokens, std::string_view text,
                          std::span<const TextRange> ranges = {}) {
    std::string result;
    std::string_view waiting = text.substr(0, 0);
    const auto flush = [&] {
        if (!waiting.empty()) result += fmt::format("({})", waiting);
    };
    for (size_t at = 0; at < text.size();) {
        const AddedToken* best = nullptr;
        for (const AddedToken& token : tokens) {
            const size_t end = at + token.content.size();
            const bool overlaps = std::any_of(
                ranges.begin(), ranges.end(),
                [&](const TextRange& range) { return range.begin < end && at < range.end; });
            if (!text.substr(at).starts_with(token.content) || (token.special && overlaps))
                continue;
            if (best == nullptr || token.content.size() > best->content.size()) best = &token;
        }
        if (best == nullptr) {
            waiting = text.substr(at - waiting.size(), waiting.size() + 1);
            ++at;
            continue;
        }
        flush();
        result += fmt::format("[{}]", best->id);
        at += best->content.size();
        waiting = text.substr(at, 0);
    }
    flush();
    return result;
}

TEST(TokenFinder, AgreesWithTryingAllTokensEverywhere) {
    constexpr uint32_t kSeed = 22;
    std::mt19937 random(kSeed);
    const auto word = [&](size_t longest) {
        std::string letters(1 + random() % longest, 'a');
        for (char& letter : letters) letter = random() % 2 == 0 ? 'a' : '\xE9';
        return letters;
    };
    for (int round = 0; round < 2000; ++round) {
        std::vector<AddedToken> tokens;
        for (int32_t id = 0; id < 5; ++id) tokens.push_back(plain(id, word(6)));
        const std::string text = word(40);
        ASSERT_EQ(found(tokens, text), found_naively(tokens, text)) << text << " seed " << kSeed;
    }
}

TEST(TokenFinder, AgreesWithTryingAllTokensThatBeginWithEachOther) {
    constexpr uint32_t kSeed = 23;
    std::mt19937 random(kSeed);
    std::vector<AddedToken> tokens;
    for (int32_t id = 0; id < 60; ++id) {
        tokens.push_back(plain(id, std::string(1 + random() % 200, 'a')));
        tokens.back().special = random() % 8 != 0;
    }
    for (int round = 0; round < 100; ++round) {
        std::string text(400, 'a');
        std::vector<TextRange> ranges;
        for (size_t at = random() % 250; at < 380; at += random() % 250) {
            ranges.push_back({at, at + 1 + random() % 19});
            at = ranges.back().end;
        }
        text[random() % text.size()] = 'b';
        ASSERT_EQ(found(tokens, text, ranges), found_naively(tokens, text, ranges))
            << "round " << round << " seed " << kSeed;
    }
}

TEST(TokenFinder, ManyTokensThatBeginWithEachOtherCostLittleBeforePlainRanges) {
    std::vector<AddedToken> tokens;
    for (int32_t id = 1; id <= 2800; ++id) {
        tokens.push_back(plain(id, std::string(static_cast<size_t>(id), 'a')));
    }
    const TokenFinder finder(tokens);
    const std::string text(size_t{1} << 20, 'a');
    std::vector<TextRange> ranges;
    for (size_t at = 1; at < text.size(); at += 2) ranges.push_back({at, at + 1});
    EXPECT_EQ(segments(finder, text, ranges).size(), text.size());
    EXPECT_LE(work_per_byte(finder, text, ranges), 32);
}

TEST(TokenFinder, FindsTokensAcrossTheBordersOfBlocks) {
    std::string token(1002, '=');
    token.front() = '<';
    token.back() = '>';
    for (size_t before = 64500; before < 65600; before += 97) {
        std::string text(before, '<');
        text += token;
        text += '=';
        const TokenFinder finder({plain(1, token)});
        const auto all = segments(finder, text);
        ASSERT_EQ(all.size(), 3U) << before;
        EXPECT_EQ(all[0].text.size(), before);
        EXPECT_EQ(all[1].id, 1);
    }
}

TEST(TokenFinder, TakesTwoStepsAByteHoweverLongTheTokensAre) {
    const std::string almost(limits::kAddedTokenBytes - 1, 'a');
    const TokenFinder finder(
        {plain(1, almost + "b"), plain(2, "b" + almost), plain(3, "a"), plain(4, almost)});
    for (const std::string& unit : {std::string("a"), almost + "c", almost + "b", "ab" + almost}) {
        std::string text;
        while (text.size() < (size_t{1} << 18)) text += unit;
        EXPECT_LE(work_per_byte(finder, text), 2.2);
    }
}

TEST(TokenFinder, ManyStrippingTokensInARowCostLittle) {
    AddedToken space = plain(1, " ");
    space.rstrip = true;
    const TokenFinder finder({space});
    const std::string spaces(size_t{1} << 16, ' ');
    EXPECT_EQ(segments(finder, spaces).size(), spaces.size());
    EXPECT_LE(work_per_byte(finder, spaces), 3.2);
}

}  // namespace
}  // namespace quarot::tokenizer
