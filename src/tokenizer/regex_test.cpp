// What do expressions match, which are refused, and is their work bounded?
#include "tokenizer/regex.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "core/expect_error.h"

namespace quarot::tokenizer {
namespace {

using Bounds = std::vector<std::pair<size_t, size_t>>;

Bounds matches(const std::string& pattern, std::string_view text) {
    const Regex regex(pattern, "tokenizer.json: here");
    Bounds found;
    RegexMatcher(regex).for_each(text,
                                 [&](size_t begin, size_t end) { found.emplace_back(begin, end); });
    return found;
}

TEST(Regex, MatchesAreFoundFromTheLeftWithoutOverlap) {
    EXPECT_EQ(matches("aa", "aaa b aa"), (Bounds{{0, 2}, {6, 8}}));
    EXPECT_EQ(matches("x*", "axxb"), (Bounds{{0, 0}, {1, 3}, {4, 4}}));
    EXPECT_EQ(matches("x*", ""), Bounds{});
}

TEST(Regex, AssertionsSeeTheWholeText) {
    EXPECT_EQ(matches("(?<=a)b(?=c)", "abc bc ab"), (Bounds{{1, 2}}));
    EXPECT_EQ(matches("^b|b$", "b\nb b\n"), (Bounds{{0, 1}, {2, 3}, {4, 5}}));
    EXPECT_EQ(matches(R"(\bb\b)", "b bb \u00E9b"), (Bounds{{0, 1}}));
}

TEST(Regex, APlusBehindACountRepeatsTheWhole) {
    EXPECT_EQ(matches("a{2}+", "aaaaa"), (Bounds{{0, 4}}));
    EXPECT_EQ(matches("a{,2}b", "aaab"), (Bounds{{1, 4}}));
    EXPECT_EQ(matches("a{1,2}+b", "aaab b"), (Bounds{{0, 4}}));
    EXPECT_EQ(matches("(?:ba{,2}+b)", "bb baaab"), (Bounds{{0, 2}, {3, 8}}));
    EXPECT_EQ(matches("a{2,3}+", "aaaa"), (Bounds{{0, 3}}));  // not all ends, nor from the longest
    EXPECT_EQ(matches("ba{0}+", "ba"), (Bounds{{0, 1}}));
    EXPECT_EQ(matches("a{1,2}?+b", "aaab"), (Bounds{{0, 4}}));
}

TEST(Regex, APlusBehindACountOfCharactersTakesLittleWork) {
    const std::string word(200, 'a');
    EXPECT_EQ(matches("a{1,2}+b", word), Bounds{});
    EXPECT_EQ(matches("a{1,2}+b", word + "\nb"), Bounds{});
    EXPECT_EQ(matches(R"(\w{,3}+-|[a-z]{1,}+!|a{1,2}?+\d)", word), Bounds{});
}

TEST(Regex, WhatBehindARepetitionMayNeedItsTextGetsIt) {
    EXPECT_EQ(matches(R"(a{0,2}(?i:k)?+\S+?)", "a"), (Bounds{{0, 1}}));
}

TEST(Regex, SetsAreThoseOfTheFilesUnicode) {
    EXPECT_EQ(matches(R"(\s)", "\u180E\u2003"), (Bounds{{3, 6}}));
    EXPECT_EQ(matches(R"(\w)", "\u00BD\u0301\u203F\u2160\u2044").size(), 4U);
    EXPECT_EQ(matches(R"([\w.])", "\u00BD.").size(), 1U);
    EXPECT_EQ(matches(R"(\p{L}+)", "a\U00010D50"), (Bounds{{0, 5}}));  // a letter of Unicode 16
    EXPECT_EQ(matches(R"(\P{L}+)", "a\U00010D50."), (Bounds{{5, 6}}));
    EXPECT_EQ(matches(R"(\p{Han})", "\u4E00\u3042"), (Bounds{{0, 3}}));
}

TEST(Regex, CaseIsIgnoredWhereThatIsOneCharacter) {
    EXPECT_EQ(matches("(?i:s)t", "\u017Ft ST sT"), (Bounds{{0, 3}}));
    EXPECT_EQ(matches("(?i)a|b", "A B"), (Bounds{{0, 1}, {2, 3}}));
}

TEST(Regex, LongMatchesAreFoundThoughTextsAreSearchedInWindows) {
    const std::string word(100000, 'a');
    EXPECT_EQ(matches("a+", word), (Bounds{{0, word.size()}}));
    EXPECT_EQ(matches("a+b", word + "b"), (Bounds{{0, word.size() + 1}}));
    EXPECT_EQ(matches(R"(a+(?!\S))", word + " "), (Bounds{{0, word.size()}}));
    EXPECT_EQ(matches(R"(a{255}(?=\n)|a$)", std::string(255, 'a') + "\n"), (Bounds{{0, 255}}));
    std::string wide;
    for (int i = 0; i < 5000; ++i) wide += "\u4E00";
    EXPECT_EQ(matches(".+", wide), (Bounds{{0, wide.size()}}));
}

TEST(Regex, EndlessWorkEndsWithAnError) {
    const std::string text(1 << 18, 'x');
    for (const char* pattern : {"x+y", "(x+x+)+y", "(?:x|xx)*y", "(?=x*y)x", "(?>x+)y"}) {
        SCOPED_TRACE(pattern);
        expect_error(ErrorCode::OutOfMemory, {"tokenizer.json: here", pattern, "work"},
                     [&] { matches(pattern, text); });
    }
}

TEST(Regex, WorkIsCountedOverAllPlacesOfAText) {
    std::string text(1 << 20, 'a');
    for (const char* pattern :
         {"a{0,50}a{0,50}c", "(?:a*+b|a)*c", "a*+b|a*+c|a*+d", "(?=a{0,60}b)a|(?=a{0,60}c)a",
          "((((a)?a)?a)?a)*?b", "(?:(?>a*)b|a)+c"}) {
        SCOPED_TRACE(pattern);
        expect_error(ErrorCode::OutOfMemory, {pattern, "work"}, [&] { matches(pattern, text); });
    }
    // Of many texts as well: what one leaves is there for the next, but no more.
    const Regex regex("a{0,50}a{0,50}[cd]", "here");
    RegexMatcher matcher(regex);
    const auto search_all = [&] {
        for (size_t at = 0; at < text.size(); at += 128) {
            matcher.for_each(std::string_view(text).substr(at, 128), [](size_t, size_t) {});
        }
    };
    expect_error(ErrorCode::OutOfMemory, {"work"}, search_all);
}

TEST(Regex, HonestExpressionsHaveWorkToSpare) {
    const std::string spaces(1 << 20, ' ');
    EXPECT_EQ(matches(R"(\s*[\r\n]+|\s+(?!\S)|\s+)", spaces), (Bounds{{0, spaces.size()}}));
    std::string mixed;
    while (mixed.size() < (1 << 19)) {
        mixed += "The year 1234567890: don't!!!  \u4F60\u597D\n\n" + std::string(70, '=') + "\t" +
                 std::string(100, ' ') + "x";
    }
    size_t done = 0;
    for (const auto& [begin, end] :
         matches(R"([!-/:-~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*)"
                 R"(|\p{N}{1,3}|\s*[\r\n]+|\s+(?!\S)|\s+)",
                 mixed)) {
        ASSERT_EQ(begin, done);
        done = end;
    }
    EXPECT_EQ(done, mixed.size());
}

TEST(Regex, WhatMeansSomethingElseElsewhereIsRefused) {
    for (const char* pattern : {R"((a)\1)",
                                R"((?<n>a)\k<n>)",
                                R"(\Ga)",
                                R"(a\K)",
                                R"(\R)",
                                R"(\X)",
                                R"(\C)",
                                "(?m:.)",
                                "a(?i)b",
                                "(?#c)",
                                "(?R)",
                                "(?C1)a",
                                "(*ACCEPT)a",
                                "(?|a|b)",
                                "[a[b]]",
                                "[a&&b]",
                                "[[:alpha:]]",
                                "[]a]",
                                R"(\p{Alpha})",
                                R"(\pL)",
                                R"(\p{Cn})",
                                "a{2}?",
                                "a**",
                                "a+++",
                                "a{x",
                                "a{1001}",
                                "(?i:ss)",
                                "(?i:\u00E9)",
                                R"((?i:\p{L}))",
                                "(?i:[^s])",
                                R"(\xE9)",
                                R"(\x{110000})",
                                R"(\ud800)",
                                R"(\101)",
                                R"([\D])",
                                "[a-",
                                "[b-a]",
                                "(a",
                                "a)",
                                "*a",
                                "^*",
                                "\\"}) {
        SCOPED_TRACE(pattern);
        expect_error(ErrorCode::Unsupported, {"tokenizer.json: here", "not supported"},
                     [&] { matches(pattern, ""); });
    }
}

TEST(Regex, WhatPcre2RefusesIsNamedWithItsWords) {
    expect_error(ErrorCode::Unsupported, {"here", "(?<=a+)b", "lookbehind"},
                 [] { matches("(?<=a+)b", ""); });
}

TEST(Regex, SizeAndDepthAreBounded) {
    expect_error(ErrorCode::Unsupported, {"4096"}, [] { matches(std::string(4097, 'a'), ""); });
    const std::string deep = std::string(40, '(') + "a" + std::string(40, ')');
    expect_error(ErrorCode::Unsupported, {"groups"}, [&] { matches(deep, ""); });
    expect_error(ErrorCode::Unsupported, {"large"},
                 [] { matches("(?:(?:a{1000}){1000}){1000}", ""); });
}

}  // namespace
}  // namespace quarot::tokenizer
