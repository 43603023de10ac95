#include "tokenizer/decoder.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "io/expect_error.h"
#include "io/text.h"
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
    const Decoder decoder(&json, "tokenizer.json", Vocabulary());
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

TEST(Decoder, ChainsThatCannotBeGivenOutInPartsAreRefused) {
    for (
        const char* steps :
        {R"({"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 0, "stop": 1})",
         R"({"type": "Fuse"}, {"type": "ByteFallback"})",
         R"({"type": "ByteLevel"}, {"type": "Replace", "pattern": {"String": "a"}, "content": ""})",
         R"({"type": "WordPiece", "prefix": "##"})"}) {
        const std::string text =
            R"({"type": "Sequence", "decoders": [)" + std::string(steps) + "]}";
        io::expect_error(ErrorCode::Unsupported, {"tokenizer.json"}, [&] { decode(text, {}); });
    }
    io::expect_error(ErrorCode::Unsupported, {"decoder is null"},
                     [] { Decoder(nullptr, "tokenizer.json", Vocabulary()); });
}

TEST(Decoder, ReplacementsThatWouldFloodMemoryAreRefused) {
    std::string steps;
    for (int i = 0; i < 10; ++i) {
        steps += R"({"type": "Replace", "pattern": {"String": "a"}, "content": "aa"},)";
    }
    steps.pop_back();
    io::expect_error(ErrorCode::Unsupported, {"times as long"},
                     [&] { decode(R"({"type": "Sequence", "decoders": [)" + steps + "]}", {}); });
    const std::string lengthy = R"({"type": "Replace", "pattern": {"String": "a"}, "content": ")" +
                                std::string(65, 'b') + "\"}";
    io::expect_error(ErrorCode::Unsupported, {"content"}, [&] { decode(lengthy, {}); });
}

}  // namespace
}  // namespace quarot::tokenizer
