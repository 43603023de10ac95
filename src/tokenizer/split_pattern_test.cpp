// Does our code for known expressions cut where they would?
#include "tokenizer/split_pattern.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace quarot::tokenizer {
namespace {

using Pieces = std::vector<std::string>;

const std::string kQwen2 = R"re((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N})re"
                           R"re(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)re";
const std::string kLlama3 =
    std::string(kQwen2).replace(kQwen2.find(R"(\p{N}|)"), 5, R"(\p{N}{1,3})");

Pieces split(const SplitPattern& pattern, const std::string& text) {
    Pieces pieces;
    for (size_t at = 0; at < text.size();) {
        const size_t end = pattern.match(text, at);
        if (end <= at || end > text.size()) {
            ADD_FAILURE() << "match of " << at << " ends at " << end;
            break;
        }
        pieces.push_back(text.substr(at, end - at));
        at = end;
    }
    return pieces;
}

Pieces gpt2(const std::string& text) {
    return split(SplitPattern::gpt2(), text);
}
Pieces llama3(const std::string& text) {
    return split(SplitPattern::known(kLlama3).value(), text);
}
Pieces qwen2(const std::string& text) {
    return split(SplitPattern::known(kQwen2).value(), text);
}

TEST(SplitPattern, UnknownExpressionsAreNotRecognised) {
    EXPECT_FALSE(SplitPattern::known("\\s+"));
    EXPECT_FALSE(SplitPattern::known(kLlama3 + " "));
}

TEST(SplitPatternGpt2, WordsNumbersAndSymbolsTakeOneSpaceInFront) {
    EXPECT_EQ(gpt2("Hello world 12 !?"), (Pieces{"Hello", " world", " 12", " !?"}));
    EXPECT_EQ(gpt2("a1!b"), (Pieces{"a", "1", "!", "b"}));
}

TEST(SplitPatternGpt2, ContractionsAreLowerCaseOnlyAndEndWhereTheyEnd) {
    EXPECT_EQ(gpt2("it's we'll'x"), (Pieces{"it", "'s", " we", "'ll", "'", "x"}));
    EXPECT_EQ(gpt2("IT'S"), (Pieces{"IT", "'", "S"}));
    EXPECT_EQ(gpt2("!'s"), (Pieces{"!'", "s"}));
}

TEST(SplitPatternGpt2, WhitespaceLeavesItsLastCharacterToTheNextPiece) {
    EXPECT_EQ(gpt2("a   b"), (Pieces{"a", "  ", " b"}));
    EXPECT_EQ(gpt2("a\n\nb"), (Pieces{"a", "\n", "\n", "b"}));
    EXPECT_EQ(gpt2("a  "), (Pieces{"a", "  "}));
    EXPECT_EQ(gpt2("a\u3000\u3000b"), (Pieces{"a", "\u3000", "\u3000", "b"}));
}

TEST(SplitPatternLlama3, AWordTakesAnyOneCharacterInFrontButNewlines) {
    EXPECT_EQ(llama3("\tfoo(bar"), (Pieces{"\tfoo", "(bar"}));
    EXPECT_EQ(llama3("\nfoo"), (Pieces{"\n", "foo"}));
    EXPECT_EQ(llama3("((bar"), (Pieces{"((", "bar"}));
}

TEST(SplitPatternLlama3, ContractionsIgnoreCaseAsFoldingDoes) {
    EXPECT_EQ(llama3("IT'S'LLx"), (Pieces{"IT", "'S", "'LL", "x"}));
    EXPECT_EQ(llama3("'\u017Fx"), (Pieces{"'\u017F", "x"}));  // long s
    EXPECT_EQ(llama3("'lx"), (Pieces{"'lx"}));
}

TEST(SplitPatternLlama3, NumbersGoInThreesAndTakeNoSpace) {
    EXPECT_EQ(llama3("12345 6"), (Pieces{"123", "45", " ", "6"}));
    EXPECT_EQ(qwen2("123"), (Pieces{"1", "2", "3"}));
}

TEST(SplitPatternLlama3, SymbolsTakeOneSpaceInFrontAndNewlinesBehind) {
    EXPECT_EQ(llama3("a !?\r\n\nb"), (Pieces{"a", " !?\r\n\n", "b"}));
}

TEST(SplitPatternLlama3, WhitespaceEndsAtItsLastNewline) {
    EXPECT_EQ(llama3("a \n \n  b"), (Pieces{"a", " \n \n", " ", " b"}));
    EXPECT_EQ(llama3("a  1"), (Pieces{"a", " ", " ", "1"}));
    EXPECT_EQ(llama3("a \t"), (Pieces{"a", " \t"}));
}

const std::string kCasedWords =
    R"re([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+)re"
    R"re((?i:'s|'t|'re|'ve|'m|'ll|'d)?)re"
    R"re(|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*)re"
    R"re((?i:'s|'t|'re|'ve|'m|'ll|'d)?)re";
const std::string kO200k =
    kCasedWords + R"re(|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)re";

Pieces o200k(const std::string& text) {
    return split(SplitPattern::known(kO200k).value(), text);
}

TEST(SplitPatternO200k, AWordEndsWhereUpperCaseFollowsLowerCase) {
    EXPECT_EQ(o200k("HTTPServer getURL"), (Pieces{"HTTPServer", " get", "URL"}));
    EXPECT_EQ(o200k("_ABC"), (Pieces{"_ABC"}));
}

TEST(SplitPatternO200k, LettersWithoutCaseAreBoth) {
    EXPECT_EQ(o200k("中ABC"), (Pieces{"中", "ABC"}));
    EXPECT_EQ(o200k("A中B中c"), (Pieces{"A中B中c"}));
    EXPECT_EQ(o200k("a中Bc"), (Pieces{"a中", "Bc"}));
}

TEST(SplitPatternO200k, AMarkIsPartOfAWordOrStandsInFrontOfIt) {
    EXPECT_EQ(o200k("\u0301"), (Pieces{"\u0301"}));
    EXPECT_EQ(o200k("e\u0301A\u0301b"), (Pieces{"e\u0301", "A\u0301b"}));
}

TEST(SplitPatternO200k, ContractionsBelongToTheWordBeforeThem) {
    EXPECT_EQ(o200k("it's WE'LL 's"), (Pieces{"it's", " WE'LL", " '", "s"}));
}

TEST(SplitPatternO200k, SymbolsTakeSlashesBehindNewlines) {
    EXPECT_EQ(o200k("a !\n//\nb"), (Pieces{"a", " !\n//\n", "b"}));
}

TEST(SplitPattern, APossessivePatternTakesAllDigitsAndTheLastWhitespaceWhole) {
    const auto cl100k =
        SplitPattern::known(R"re('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+)re"
                            R"re(| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s)re");
    ASSERT_TRUE(cl100k);
    EXPECT_EQ(split(*cl100k, "12345 \n b\n "), (Pieces{"12345", " \n", " b", "\n "}));
}

TEST(SplitPattern, MarksAreLettersWhereTheExpressionSaysSo) {
    const auto qwen = SplitPattern::known(
        R"re((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N})re"
        R"re(| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)re");
    ASSERT_TRUE(qwen);
    EXPECT_EQ(split(*qwen, "ae\u0301b !\u0301"), (Pieces{"ae\u0301b", " !", "\u0301"}));
    EXPECT_EQ(qwen2("ae\u0301b"), (Pieces{"ae", "\u0301b"}));
}

TEST(SplitPatternLlama3, NumbersThatTheExpressionsUnicodeLacksAreSymbols) {
    EXPECT_EQ(llama3("a \U00011DE0"), (Pieces{"a", " \U00011DE0"}));
}

}  // namespace
}  // namespace quarot::tokenizer
