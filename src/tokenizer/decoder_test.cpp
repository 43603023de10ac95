// What text do tokens make, all at once and one by one?
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "core/expect_error.h"
#include "io/utf8.h"
#include "tokenizer/decoding.h"
#include "tokenizer/limits.h"
#include "tokenizer/test_model.h"

namespace quarot::tokenizer {
namespace {

using Tokens = std::vector<std::string>;

const char* const kMetaspace = R"({"type": "Sequence", "decoders": [
    {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"},
    {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]})";
const char* const kByteLevel = R"({"type": "ByteLevel"})";

// The parts that come out: one per token, then the rest.
Tokens parts(std::string_view decoder_text, const Tokens& tokens) {
    const io::Json json = test::parse(decoder_text);
    const Decoder decoder(&json, Vocabulary());
    Decoding decoding(decoder);
    Tokens result;
    for (const std::string& token : tokens) result.push_back(decoding.put(token));
    result.push_back(decoding.finish());
    return result;
}

std::string decode(std::string_view decoder_text, const Tokens& tokens) {
    std::string text;
    for (const std::string& part : parts(decoder_text, tokens)) text += part;
    return text;
}

TEST(Decoder, MetaspaceLosesTheOneSpaceInFront) {
    EXPECT_EQ(decode(kMetaspace, {"▁a", "▁b"}), "a b");
    EXPECT_EQ(decode(kMetaspace, {"▁", "▁", "a"}), " a");
    EXPECT_EQ(decode(kMetaspace, {"a", "▁"}), "a ");
}

TEST(Decoder, ARunOfByteTokensIsTextOnlyAsAWhole) {
    EXPECT_EQ(decode(kMetaspace, {"<0xC3>", "<0xA9>", "x"}), "\u00E9x");
    EXPECT_EQ(decode(kMetaspace, {"<0xC3>", "<0xA9>", "<0xC3>"}), "\uFFFD\uFFFD\uFFFD");
    EXPECT_EQ(decode(kMetaspace, {"<0xC3>", "x", "<0xA9>"}), "\uFFFDx\uFFFD");
    EXPECT_EQ(decode(kMetaspace, {"<0x20>", "a"}), "a");  // a space in front, too
}

TEST(Decoder, RunsOfByteTokensAreHeldUntilTheyEnd) {
    EXPECT_EQ(parts(kMetaspace, {"<0xC3>", "<0xA9>", "x"}), (Tokens{"", "", "\u00E9x", ""}));
    EXPECT_EQ(parts(kMetaspace, {"<0xC3>", "<0xA9>"}), (Tokens{"", "", "\u00E9"}));
}

TEST(Decoder, ByteLevelGivesOnlyWholeCharactersOut) {
    EXPECT_EQ(parts(kByteLevel, {"\u00C3", "\u00A9", "\u0120a"}), (Tokens{"", "\u00E9", " a", ""}));
    EXPECT_EQ(parts(kByteLevel, {"\u00C3"}), (Tokens{"", "\uFFFD"}));
    EXPECT_EQ(parts(kByteLevel, {"\u00C3", "a"}), (Tokens{"", "\uFFFDa", ""}));
}

TEST(Decoder, ByteLevelTakesOtherTokensAsTheyAre) {
    EXPECT_EQ(decode(kByteLevel, {"<|a b|>", "你"}), "<|a b|>你");
    EXPECT_EQ(decode(kByteLevel, {"\u0120\u0120"}), "  ");
}

TEST(Decoder, StripBeforeFuseTakesFromEachToken) {
    const char* const each = R"({"type": "Strip", "content": "_", "start": 1, "stop": 2})";
    EXPECT_EQ(decode(each, {"__a___", "_", "b"}), "_a_b");
    const char* const whole = R"({"type": "Sequence", "decoders": [{"type": "Fuse"},
        {"type": "Strip", "content": "_", "start": 2, "stop": 0}]})";
    EXPECT_EQ(decode(whole, {"_", "__a", "_b"}), "_a_b");
}

TEST(Decoder, NoPartEndsInsideACharacterWhateverTheBytes) {
    constexpr uint32_t kSeed = 3;
    std::mt19937 random(kSeed);
    const Tokens pool{"\u00C3", "\u00A9", "\u00F0", "\u0141", "\u013B", "\u0124", "a", "\u0120"};
    for (int round = 0; round < 2000; ++round) {
        Tokens tokens(random() % 12);
        for (auto& token : tokens) token = pool[random() % pool.size()];
        for (const std::string& part : parts(kByteLevel, tokens)) {
            ASSERT_EQ(io::first_non_utf8(part), part.size()) << "seed " << kSeed;
        }
    }
}

std::string chain(const std::string& steps) {
    return R"({"type": "Sequence", "decoders": [)" + steps + "]}";
}

TEST(Decoder, OfAWholeTextTheEndsAreStripped) {
    const std::string both =
        chain(R"({"type": "Fuse"}, {"type": "Strip", "content": "_", "start": 1, "stop": 2})");
    EXPECT_EQ(decode(both, {"__", "a_", "_", "_b", "_", "__"}), "_a___b_");
    EXPECT_EQ(decode(both, {"_", "_"}), "");
    EXPECT_EQ(parts(both, {"a_", "_", "_", "b"}), (Tokens{"a", "", "_", "__b", ""}));
}

TEST(Decoder, OfAWholeTextOccurrencesAcrossTokensAreReplaced) {
    const std::string aba = chain(
        R"({"type": "Fuse"}, {"type": "Replace", "pattern": {"String": "aba"}, "content": "-"})");
    EXPECT_EQ(decode(aba, {"a", "b", "a", "b", "a"}), "-ba");
    EXPECT_EQ(decode(aba, {"x", "aab", "a", "ab"}), "xa-ab");
    EXPECT_EQ(parts(aba, {"ca", "c"}), (Tokens{"c", "ac", ""}));
}

TEST(Decoder, OfAWholeTextNoMoreIsStrippedThanAskedHoweverItIsCut) {
    for (const std::string content : {"a", "\u00E9", "\U0001F600"}) {
        const std::string strip = chain(R"({"type": "Fuse"}, {"type": "Strip", "content": ")" +
                                        content + R"(", "start": 1, "stop": 3})");
        const auto many = [&](size_t count, std::string text = "") {
            for (size_t i = 0; i < count; ++i) text += content;
            return text;
        };
        EXPECT_EQ(parts(strip, {many(3), many(2), many(1), "x", many(2)}),
                  (Tokens{"", many(1), many(1), many(3) + "x", "", ""}));
        EXPECT_EQ(parts(strip, {many(5, "x"), many(5)}), (Tokens{many(2, "x"), many(5), ""}));
        EXPECT_EQ(parts(strip, {many(9), many(1, many(2) + "x"), many(1), "y"}),
                  (Tokens{many(5), many(5) + "x", "", many(2) + "y", ""}));
    }
}

// The product of what is held and of the tokens is out of reach.
TEST(Decoder, StrippingALotFromTheEndLooksAtEachTokenOnce) {
    const std::string most = std::to_string(limits::kStripped);
    const std::string strip = chain(R"({"type": "Fuse"}, {"type": "Strip", "content": "a",
                                        "start": 0, "stop": )" +
                                    most + "}");
    const size_t count = limits::kStripped;
    EXPECT_EQ(decode(strip, Tokens(2 * count, "a")), std::string(count, 'a'));
}

TEST(Decoder, MetaspaceLeavesOutTheMarksOfTheFirstToken) {
    const auto metaspace = [](const std::string& scheme) {
        return R"({"type": "Metaspace", "replacement": "_", "prepend_scheme": ")" + scheme + "\"}";
    };
    EXPECT_EQ(decode(metaspace("first"), {"__a_", "_b"}), "a b");
    EXPECT_EQ(decode(metaspace("always"), {"", "_b"}), " b");
    EXPECT_EQ(decode(metaspace("never"), {"_a", "_b"}), " a b");
    EXPECT_EQ(decode(chain(R"({"type": "Fuse"},)" + metaspace("always")), {"_a", "_b"}), "ab");
}

TEST(Decoder, EndsOfWordsAreSpacesButForTheLast) {
    const char* const words = R"({"type": "BPEDecoder", "suffix": "@"})";
    EXPECT_EQ(decode(words, {"a@", "b", "c@"}), "a bc");
    EXPECT_EQ(parts(words, {"a@", "b@"}), (Tokens{"", "a ", "b"}));
}

TEST(Decoder, WithoutADecoderSpacesStandBetweenTokens) {
    const Decoder decoder(nullptr, Vocabulary());
    Decoding decoding(decoder);
    EXPECT_EQ(decoding.put("a"), "a");
    EXPECT_EQ(decoding.put(""), " ");
    EXPECT_EQ(decoding.put("b"), " b");
    EXPECT_EQ(decoding.finish(), "");
}

TEST(Decoder, ExpressionsAreReplacedInEachToken) {
    EXPECT_EQ(decode(R"({"type": "Replace", "pattern": {"Regex": "a+$"}, "content": "-"})",
                     {"aab", "aa", "ba"}),
              "aab-b-");
}

TEST(Decoder, WhatExpressionsCostIsBoundedOverAllTokens) {
    const char* const costly =
        R"({"type": "Replace", "pattern": {"Regex": "a{0,50}a{0,50}[cd]"}, "content": "-"})";
    const std::string token(128, 'a');
    EXPECT_EQ(decode(costly, {token}), token);
    expect_error(ErrorCode::OutOfMemory, {"Regex", "work"},
                 [&] { decode(costly, Tokens(100, token)); });
}

TEST(Decoder, ChainsThatCannotBeGivenOutInPartsAreRefused) {
    for (const char* steps :
         {R"({"type": "Fuse"}, {"type": "ByteFallback"})",
          R"({"type": "Fuse"}, {"type": "ByteLevel"})",
          R"({"type": "ByteLevel"}, {"type": "Replace", "pattern": {"Regex": "a"}, "content": ""})",
          R"({"type": "BPEDecoder", "suffix": ""})", R"({"type": "WordPiece", "prefix": "##"})"}) {
        SCOPED_TRACE(steps);
        expect_error(ErrorCode::Unsupported, {"tokenizer.json"}, [&] { decode(chain(steps), {}); });
    }
}

TEST(Decoder, ReplacementsThatWouldFloodMemoryAreRefused) {
    std::string steps;
    for (int i = 0; i < 10; ++i) {
        steps += R"({"type": "Replace", "pattern": {"String": "a"}, "content": "aa"},)";
    }
    steps.pop_back();
    expect_error(ErrorCode::Unsupported, {"times as long"},
                 [&] { decode(R"({"type": "Sequence", "decoders": [)" + steps + "]}", {}); });
    const std::string lengthy = R"({"type": "Replace", "pattern": {"String": "a"}, "content": ")" +
                                std::string(65, 'b') + "\"}";
    expect_error(ErrorCode::Unsupported, {"content"}, [&] { decode(lengthy, {}); });
}

}  // namespace
}  // namespace quarot::tokenizer
