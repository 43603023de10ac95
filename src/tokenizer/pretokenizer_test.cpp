// Where does each kind of pre-tokenizer cut?
#include "tokenizer/pretokenizer.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tokenizer/test_model.h"

namespace quarot::tokenizer {
namespace {

using Texts = std::vector<std::string>;

Texts split(const std::string& steps, std::string_view text, bool first = true) {
    const io::Json json = test::parse(R"({"type": "Sequence", "pretokenizers": [)" + steps + "]}");
    const PreTokenizer pretokenizer(&json);
    Texts result;
    const PutPiece put = [&](std::string_view piece) { result.emplace_back(piece); };
    PreTokenizer::Cutter(pretokenizer, put).cut(text, first);
    return result;
}

std::string split_at(const std::string& pattern, const std::string& behavior, bool invert = false) {
    return R"({"type": "Split", "pattern": )" + pattern + R"(, "behavior": ")" + behavior +
           R"(", "invert": )" + (invert ? "true}" : "false}");
}

const char* const kHyphen = R"({"String": "-"})";
const char* const kText = "the-final--countdown";

TEST(PreTokenizer, BehaviorsSayWhatBecomesOfAMatch) {
    EXPECT_EQ(split(split_at(kHyphen, "Removed"), kText), (Texts{"the", "final", "countdown"}));
    EXPECT_EQ(split(split_at(kHyphen, "Isolated"), kText),
              (Texts{"the", "-", "final", "-", "-", "countdown"}));
    EXPECT_EQ(split(split_at(kHyphen, "MergedWithPrevious"), kText),
              (Texts{"the-", "final-", "-", "countdown"}));
    EXPECT_EQ(split(split_at(kHyphen, "MergedWithNext"), kText),
              (Texts{"the", "-final", "-", "-countdown"}));
    EXPECT_EQ(split(split_at(kHyphen, "Contiguous"), kText),
              (Texts{"the", "-", "final", "--", "countdown"}));
}

TEST(PreTokenizer, InvertMakesWhatDoesNotMatchTheMatch) {
    EXPECT_EQ(split(split_at(kHyphen, "Removed", true), kText), (Texts{"-", "-", "-"}));
    EXPECT_EQ(split(split_at(kHyphen, "MergedWithNext", true), kText),
              (Texts{"the-", "final-", "-", "countdown"}));
}

TEST(PreTokenizer, UnknownExpressionsAreSearchedFor) {
    EXPECT_EQ(split(split_at(R"({"Regex": "[0-9]{3}"})", "Isolated"), "a1234567b"),
              (Texts{"a", "123", "456", "7b"}));
    EXPECT_EQ(split(split_at(R"({"Regex": "x*"})", "Isolated"), "axxb"), (Texts{"a", "xx", "b"}));
}

TEST(PreTokenizer, MetaspaceMarksSpacesAndTheBeginning) {
    const auto metaspace = [](const std::string& scheme, bool cut) {
        return R"({"type": "Metaspace", "replacement": "_", "prepend_scheme": ")" + scheme +
               R"(", "split": )" + (cut ? "true}" : "false}");
    };
    EXPECT_EQ(split(metaspace("always", true), "a  b", false), (Texts{"_a", "_", "_b"}));
    EXPECT_EQ(split(metaspace("always", false), " a b"), (Texts{"_a_b"}));
    EXPECT_EQ(split(metaspace("first", false), "a b", true), (Texts{"_a_b"}));
    EXPECT_EQ(split(metaspace("first", false), "a b", false), (Texts{"a_b"}));
    EXPECT_EQ(split(metaspace("never", true), "_a b"), (Texts{"_a", "_b"}));
    const std::string spaces = R"({"type": "WhitespaceSplit"},)";
    EXPECT_EQ(split(spaces + metaspace("first", true), "a b"), (Texts{"_a", "b"}));
    EXPECT_EQ(split(spaces + metaspace("first", true), " a b"), (Texts{"a", "b"}));
    EXPECT_EQ(split(spaces + metaspace("always", true), " a b"), (Texts{"_a", "_b"}));
}

TEST(PreTokenizer, ByteLevelMayPutASpaceInFront) {
    const char* const step = R"({"type": "ByteLevel", "add_prefix_space": true})";
    EXPECT_EQ(split(step, "a b"), (Texts{" a", " b"}));
    EXPECT_EQ(split(step, " a b"), (Texts{" a", " b"}));
}

TEST(PreTokenizer, StepsBehindByteLevelSeeItsAlphabet) {
    const std::string bytes = R"({"type": "ByteLevel", "add_prefix_space": false,
                                 "use_regex": false},)";
    EXPECT_EQ(split(bytes + split_at(R"({"String": " "})", "Removed"), "a b"), (Texts{"a b"}));
    EXPECT_EQ(split(bytes + split_at(R"({"String": "\u0120"})", "Isolated"), "a \u00E9"),
              (Texts{"a", " ", "\u00E9"}));
}

TEST(PreTokenizer, CharacterStepsCutByKind) {
    EXPECT_EQ(split(R"({"type": "Digits", "individual_digits": false})", "a12\u00BDb"),
              (Texts{"a", "12\u00BD", "b"}));
    EXPECT_EQ(split(R"({"type": "Digits", "individual_digits": true})", "a12"),
              (Texts{"a", "1", "2"}));
    EXPECT_EQ(split(R"({"type": "Punctuation"})", "a!?b\u3002"),
              (Texts{"a", "!", "?", "b", "\u3002"}));
    EXPECT_EQ(split(R"({"type": "Punctuation", "behavior": "Contiguous"})", "a!?b"),
              (Texts{"a", "!?", "b"}));
    EXPECT_EQ(split(R"({"type": "WhitespaceSplit"})", "\u2028a!\t b "), (Texts{"a!", "b"}));
    EXPECT_EQ(split(R"({"type": "Whitespace"})", " a_1!? b\u0301"),
              (Texts{"a_1", "!?", "b\u0301"}));
}

}  // namespace
}  // namespace quarot::tokenizer
