#include "tokenizer/gguf_tokenizer.h"

#include <gtest/gtest.h>

#include <fstream>

#include "core/expect_error.h"
#include "io/gguf_metadata.h"
#include "io/handmade_gguf.h"
#include "io/json.h"
#include "support/temp_dir.h"
#include "tokenizer/byte_level.h"
#include "tokenizer/tokenizer.h"

namespace quarot::tokenizer {
namespace {

using Ids = std::vector<int32_t>;
using io::gguf_bool, io::gguf_f32s, io::gguf_i32s, io::gguf_text, io::gguf_texts, io::gguf_u32;
using io::HandmadeGguf;

constexpr int32_t kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5, kByte = 6;

// The bytes, then "ab", "<s>", "</s>", "##", "abc", which no merges make, "12", and one unused.
HandmadeGguf byte_level_file(const std::string& pre = "gpt-2") {
    std::vector<std::string> tokens;
    for (int byte = 0; byte < 256; ++byte) {
        tokens.emplace_back(character_of_byte(static_cast<uint8_t>(byte)));
    }
    std::vector<int32_t> kinds(256, kNormal);
    for (const auto& [token, kind] :
         std::vector<std::pair<std::string, int32_t>>{{"ab", kNormal},
                                                      {"<s>", kControl},
                                                      {"</s>", kControl},
                                                      {"##", kUserDefined},
                                                      {"abc", kNormal},
                                                      {"12", kNormal}}) {
        tokens.push_back(token);
        kinds.push_back(kind);
    }
    tokens.emplace_back("[PAD]");
    kinds.push_back(kUnused);
    HandmadeGguf file;
    file.set("general.architecture", gguf_text("llama"));
    file.set("tokenizer.ggml.model", gguf_text("gpt2"));
    file.set("tokenizer.ggml.pre", gguf_text(pre));
    file.set("tokenizer.ggml.tokens", gguf_texts(tokens));
    file.set("tokenizer.ggml.token_type", gguf_i32s(kinds));
    file.set("tokenizer.ggml.merges", gguf_texts({"a b", "1 2"}));
    file.set("tokenizer.ggml.bos_token_id", gguf_u32(257));
    file.set("tokenizer.ggml.eos_token_id", gguf_u32(258));
    return file;
}

// <unk> <s> </s>, the bytes, then pieces with scores: "ab" is better than "bc".
HandmadeGguf scored_file() {
    std::vector<std::string> tokens = {"<unk>", "<s>", "</s>"};
    std::vector<int32_t> kinds = {kUnknown, kControl, kControl};
    for (int byte = 0; byte < 256; ++byte) {
        tokens.push_back(fmt::format("<0x{:02X}>", byte));
        kinds.push_back(kByte);
    }
    std::vector<float> scores(tokens.size(), 0.0f);
    const std::vector<std::string> pieces = {"ab", "bc", "\u2581a", "a", "b", "c", "\u2581"};
    for (size_t i = 0; i < pieces.size(); ++i) {
        tokens.push_back(pieces[i]);
        kinds.push_back(kNormal);
        scores.push_back(-static_cast<float>(i));
    }
    tokens.emplace_back("[x]");
    kinds.push_back(kUserDefined);
    scores.push_back(0.0f);
    HandmadeGguf file;
    file.set("tokenizer.ggml.model", gguf_text("llama"));
    file.set("tokenizer.ggml.tokens", gguf_texts(tokens));
    file.set("tokenizer.ggml.scores", gguf_f32s(scores));
    file.set("tokenizer.ggml.token_type", gguf_i32s(kinds));
    file.set("tokenizer.ggml.bos_token_id", gguf_u32(1));
    file.set("tokenizer.ggml.eos_token_id", gguf_u32(2));
    file.set("tokenizer.ggml.unknown_token_id", gguf_u32(0));
    return file;
}
constexpr int32_t kAb = 259, kBc = 260, kMarkA = 261, kA = 262, kB = 263, kC = 264, kMark = 265,
                  kX = 266;

Tokenizer loaded(const HandmadeGguf& file) {
    const quarot::test::TempDir dir;
    std::ofstream(dir / "m.gguf", std::ios::binary) << file.bytes();
    return Tokenizer::load(dir / "m.gguf");
}

TEST(GgufTokenizer, BytesMergeAndAddedTokensAreFoundWhole) {
    const Tokenizer tokenizer = loaded(byte_level_file());
    EXPECT_EQ(tokenizer.encode("ab##abc<s>"), (Ids{256, 259, 256, 'c', 257}));
    EXPECT_EQ(tokenizer.decode(Ids{256, 259, 262, ' ', 257, 258}), "ab## ");
    EXPECT_EQ(tokenizer.bos(), 257);
    EXPECT_EQ(tokenizer.eos(), 258);
    EXPECT_TRUE(tokenizer.is_special(257));
    EXPECT_FALSE(tokenizer.is_special(259));
}

TEST(GgufTokenizer, ThePreTokenizerDecidesWhatElseItMayKnow) {
    // Llama 3's takes a piece that is a token, and begins with bos.
    EXPECT_EQ(loaded(byte_level_file("llama-bpe")).encode("abc"), (Ids{257, 260}));
    // SmolLM's keeps digits apart.
    EXPECT_EQ(loaded(byte_level_file("smollm")).encode("12"), (Ids{'1', '2'}));
    EXPECT_EQ(loaded(byte_level_file("gpt-2")).encode("12"), (Ids{261}));
    EXPECT_EQ(loaded(byte_level_file("qwen2")).encode("12"), (Ids{'1', '2'}));
    EXPECT_EQ(loaded(byte_level_file("llama-bpe")).encode("0012"), (Ids{257, '0', '0', '1', '2'}));
    // Qwen's composes.
    EXPECT_EQ(loaded(byte_level_file("qwen2")).encode("e\u0301"), (Ids{0xc3, 0xa9}));
    EXPECT_EQ(loaded(byte_level_file("gpt-2")).encode("e\u0301"), (Ids{'e', 0xcc, 0x81}));
}

TEST(GgufTokenizer, TheFileDecidesWhatSurroundsAText) {
    HandmadeGguf file = byte_level_file();
    file.set("tokenizer.ggml.add_bos_token", gguf_bool(true));
    file.set("tokenizer.ggml.add_eos_token", gguf_bool(true));
    EXPECT_EQ(loaded(file).encode("c"), (Ids{257, 'c', 258}));
    EXPECT_EQ(loaded(file).encode("c", AddBos::None), (Ids{'c'}));
}

TEST(GgufTokenizer, ScoresDecideWhichNeighboursJoin) {
    HandmadeGguf file = scored_file();
    file.set("tokenizer.ggml.add_bos_token", gguf_bool(false));
    const Tokenizer tokenizer = loaded(file);
    EXPECT_EQ(tokenizer.encode("abc"), (Ids{kMark, kAb, kC}));
    EXPECT_EQ(tokenizer.encode("cbc a"), (Ids{kMark, kC, kBc, kMarkA}));
    EXPECT_EQ(tokenizer.encode("b[x]\n"), (Ids{kMark, kB, kX, kMark, 3 + '\n'}));
    EXPECT_EQ(tokenizer.decode(Ids{kMarkA, kMark, kAb, 3 + 0xc3, 3 + 0xa9}), "a ab\u00e9");
    EXPECT_EQ(loaded(scored_file()).encode("a"), (Ids{1, kMarkA}));  // bos unless the file says no
    file.set("tokenizer.ggml.add_space_prefix", gguf_bool(false));
    EXPECT_EQ(loaded(file).encode("a"), (Ids{kA}));
    EXPECT_EQ(loaded(file).decode(Ids{kMarkA}), " a");
}

TEST(GgufTokenizer, Phi3sTokensSwallowTheSpaceBehindThem) {
    HandmadeGguf file = scored_file();
    file.set("tokenizer.ggml.add_bos_token", gguf_bool(false));
    EXPECT_EQ(loaded(file).encode("[x] a"), (Ids{kX, kMark, kMarkA}));
    file.set("general.architecture", gguf_text("phi3"));
    EXPECT_EQ(loaded(file).encode("[x] a"), (Ids{kX, kMarkA}));
}

TEST(GgufTokenizer, TheConfigNamesTokensAndTheChatTemplate) {
    HandmadeGguf file = byte_level_file();
    file.set("tokenizer.chat_template", gguf_text("{{ bos_token }}"));
    file.set("tokenizer.ggml.padding_token_id", gguf_u32(UINT32_MAX));  // none
    const quarot::test::TempDir dir;
    std::ofstream(dir / "m.gguf", std::ios::binary) << file.bytes();
    const io::GgufMetadata metadata = io::read_gguf_metadata(dir / "m.gguf");
    const io::Json config = io::Json::parse(gguf_tokenizer_config(metadata), "config");
    EXPECT_EQ(config.at("bos_token").as_string(), "<s>");
    EXPECT_EQ(config.at("eos_token").as_string(), "</s>");
    EXPECT_EQ(config.at("chat_template").as_string(), "{{ bos_token }}");
    EXPECT_FALSE(config.contains("pad_token"));
}

TEST(GgufTokenizer, UnknownNamesAreRefusedWithThoseThatAreKnown) {
    const auto unsupported = ErrorCode::Unsupported;
    HandmadeGguf file = byte_level_file("chameleon");
    expect_error(unsupported, {"m.gguf", "tokenizer.ggml.pre", "chameleon", "gpt-2, ", "llama-bpe"},
                 [&] { loaded(file); });
    file.set("tokenizer.ggml.pre", gguf_text("default"));
    expect_error(unsupported, {"default", "qwen2"}, [&] { loaded(file); });
    file.remove("tokenizer.ggml.pre");
    expect_error(unsupported, {"tokenizer.ggml.pre", "missing", "qwen2"}, [&] { loaded(file); });
    file.set("tokenizer.ggml.model", gguf_text("bert"));
    expect_error(unsupported, {"tokenizer.ggml.model", "bert", "gpt2", "llama"},
                 [&] { loaded(file); });
}

TEST(GgufTokenizer, ListsThatDoNotFitEachOtherAreRefused) {
    struct Case {
        const char* key;
        std::string value;
        std::vector<std::string> mentions;
    };
    const std::vector<Case> cases = {
        {"tokenizer.ggml.token_type", gguf_i32s({1, 1}), {"token_type", "2", "267"}},
        {"tokenizer.ggml.token_type", gguf_i32s(Ids(267, 7)), {"token_type", "7"}},
        {"tokenizer.ggml.token_type", gguf_texts({"1"}), {"token_type", "list of texts"}},
        {"tokenizer.ggml.scores", gguf_f32s({1.0f}), {"scores", "267"}},
        {"tokenizer.ggml.scores", gguf_f32s(std::vector<float>(267, NAN)), {"scores", "nan"}},
        {"tokenizer.ggml.tokens", gguf_texts({}), {"tokens", "0"}},
        {"tokenizer.ggml.tokens", gguf_u32(1), {"tokens", "an integer"}},
        {"tokenizer.ggml.tokens",
         gguf_texts(std::vector<std::string>(267, "a")),
         {"\"a\"", "twice"}},
        {"tokenizer.ggml.tokens", gguf_texts(std::vector<std::string>(267, "\xff")), {"UTF-8"}},
        {"tokenizer.ggml.tokens",
         gguf_texts(std::vector<std::string>(267, std::string(1025, 'a'))),
         {"1024 bytes"}},
        {"tokenizer.ggml.bos_token_id", gguf_u32(267), {"bos_token_id", "267"}},
        {"tokenizer.ggml.add_bos_token", gguf_text("yes"), {"add_bos_token", "true or false"}},
    };
    for (const Case& bad : cases) {
        HandmadeGguf file = scored_file();
        file.set(bad.key, bad.value);
        std::vector<std::string> mentions = bad.mentions;
        mentions.emplace_back("m.gguf");
        expect_error(ErrorCode::Corrupt, mentions, [&] { loaded(file); });
    }
    for (const char* key : {"tokenizer.ggml.tokens", "tokenizer.ggml.scores"}) {
        HandmadeGguf file = scored_file();
        file.remove(key);
        expect_error(ErrorCode::Corrupt, {"m.gguf", key}, [&] { loaded(file); });
    }
    HandmadeGguf file = byte_level_file();
    file.set("tokenizer.ggml.merges", gguf_texts({"a \u00f8\u00f8\u00f8"}));
    expect_error(ErrorCode::Corrupt, {"m.gguf", "merge"}, [&] { loaded(file); });
}

// Every cut of such a token is a merge: 358 MB of them in a file of 0.5 MB.
TEST(GgufTokenizer, MergesBeyondAllMeasureAreRefused) {
    std::vector<std::string> tokens = {"<unk>", "<s>", "</s>"};
    for (size_t n = 1; n <= 1024; ++n) tokens.emplace_back(n, 'c');
    std::vector<int32_t> kinds(tokens.size(), kNormal);
    HandmadeGguf file = scored_file();
    file.set("tokenizer.ggml.tokens", gguf_texts(tokens));
    file.set("tokenizer.ggml.scores", gguf_f32s(std::vector<float>(tokens.size())));
    file.set("tokenizer.ggml.token_type", gguf_i32s(kinds));
    expect_error(ErrorCode::Corrupt, {"m.gguf", "tokenizer.ggml.tokens", "merges"},
                 [&] { loaded(file); });
}

}  // namespace
}  // namespace quarot::tokenizer
