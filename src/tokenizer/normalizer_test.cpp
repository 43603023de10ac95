// What does each kind of normalizer make of a text?
#include "tokenizer/normalizer.h"

#include <gtest/gtest.h>

#include <string>

#include "core/expect_error.h"
#include "tokenizer/test_model.h"

namespace quarot::tokenizer {
namespace {

Normalizer::Normalized normalized(std::string_view step, const std::string& text) {
    const io::Json json = test::parse(step);
    const Normalizer normalizer(&json);
    return Normalizer::Worker(normalizer).normalize(text);
}

std::string normalize(std::string_view step, const std::string& text) {
    return normalized(step, text).text;
}

const char* const kNfc = R"({"type": "NFC"})";
const char* const kNfd = R"({"type": "NFD"})";
const char* const kNfkc = R"({"type": "NFKC"})";
const char* const kNfkd = R"({"type": "NFKD"})";

TEST(Normalizer, TheFourFormsComposeAndDecompose) {
    EXPECT_EQ(normalize(kNfc, "e\u0301 \u212B"), "\u00E9 \u00C5");
    EXPECT_EQ(normalize(kNfd, "\u00E9\uAC01"), "e\u0301\u1100\u1161\u11A8");
    EXPECT_EQ(normalize(kNfc, "\u1100\u1161\u11A8"), "\uAC01");
    EXPECT_EQ(normalize(kNfkc, "\uFB01\u2460"), "fi1");
    EXPECT_EQ(normalize(kNfkd, "\u1E9B\u0323"), "s\u0323\u0307");
}

TEST(Normalizer, MarksAreOrderedByClassButNotAcrossOtherCharacters) {
    EXPECT_EQ(normalize(kNfd, "a\u0301\u0323b\u0301\u0323"), "a\u0323\u0301b\u0323\u0301");
    EXPECT_EQ(normalize(kNfc, "a\u0323\u0301"), "\u1EA1\u0301");
    EXPECT_EQ(normalize(kNfd, "\u0301\u0323"), "\u0323\u0301");
}

TEST(Normalizer, CharactersNewerThanTheFilesUnicodeStay) {
    EXPECT_EQ(normalize(kNfkc, "\u32FF"), "\u32FF");                 // of Unicode 12.1
    EXPECT_EQ(normalize(kNfd, "a\u0301\u0898b"), "a\u0301\u0898b");  // a mark of Unicode 14
    EXPECT_EQ(normalize(kNfc, "e\u0898\u0301"), "e\u0898\u0301");
}

TEST(Normalizer, AMillionMarksInTheWrongOrderAreNoProblem) {
    std::string text = "a";
    std::string sorted = "a";
    for (int i = 0; i < 250000; ++i) text += "\u0301\u0323";
    for (int i = 0; i < 250000; ++i) sorted += "\u0323";
    for (int i = 0; i < 250000; ++i) sorted += "\u0301";
    EXPECT_TRUE(normalize(kNfd, text) == sorted);
}

TEST(Normalizer, LowerCaseIsThatOfEachCharacter) {
    const char* const step = R"({"type": "Lowercase"})";
    EXPECT_EQ(normalize(step, "A\u00C4\u0130\u03A3"), "a\u00E4i\u0307\u03C3");
    EXPECT_EQ(normalize(step, "\U00010D50"), "\U00010D70");  // of Unicode 16
}

TEST(Normalizer, StripTakesWhitespaceFromTheEndsAskedFor) {
    const std::string text = " \u2003a b\u0085\u3000";
    EXPECT_EQ(normalize(R"({"type": "Strip", "strip_left": true, "strip_right": true})", text),
              "a b");
    EXPECT_EQ(normalize(R"({"type": "Strip", "strip_left": true, "strip_right": false})", text),
              "a b\u0085\u3000");
    EXPECT_EQ(normalize(R"({"type": "Strip", "strip_left": false, "strip_right": true})", text),
              " \u2003a b");
    EXPECT_EQ(normalize(R"({"type": "Strip", "strip_left": true, "strip_right": true})", "\u2028 "),
              "");
}

TEST(Normalizer, ReplaceTakesTextsAndExpressions) {
    const auto replace = [](const std::string& kind, const std::string& pattern,
                            const std::string& content) {
        return R"({"type": "Replace", "pattern": {")" + kind + "\": \"" + pattern +
               R"("}, "content": ")" + content + "\"}";
    };
    EXPECT_EQ(normalize(replace("String", "aa", "b"), "aaa"), "ba");
    EXPECT_EQ(normalize(replace("Regex", " {2,}", " "), "a   b c  "), "a b c ");
    EXPECT_EQ(normalize(replace("Regex", "(a)", "$1"), "a"), "$1");  // not a reference
    EXPECT_EQ(normalize(replace("Regex", "b*", "x"), "abbc"), "xaxcx");
}

TEST(Normalizer, ItIsKnownWhetherTheFirstCharacterIsStillInFront) {
    const char* const strip = R"({"type": "Strip", "strip_left": true, "strip_right": false})";
    EXPECT_TRUE(normalized(strip, "a").keeps_start);
    EXPECT_FALSE(normalized(strip, " a").keeps_start);
    const char* const replace = R"({"type": "Replace", "pattern": {"String": "ab"},
                                    "content": "x"})";
    EXPECT_FALSE(normalized(replace, "abc").keeps_start);
    EXPECT_TRUE(normalized(replace, "cab").keeps_start);
}

TEST(Normalizer, OtherKindsAreNamed) {
    for (const char* type : {"StripAccents", "Nmt", "BertNormalizer", "Precompiled"}) {
        expect_error(ErrorCode::Unsupported, {"tokenizer.json", type},
                     [&] { normalize(R"({"type": ")" + std::string(type) + "\"}", ""); });
    }
}

}  // namespace
}  // namespace quarot::tokenizer
