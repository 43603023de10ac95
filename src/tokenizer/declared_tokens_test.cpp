// Added tokens that tokenizer.json lacks and the files beside it declare.
#include "tokenizer/declared_tokens.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "core/expect_error.h"
#include "tokenizer/test_model.h"
#include "tokenizer/tokenizer.h"

namespace quarot::tokenizer {
namespace {

using Ids = std::vector<int32_t>;

// Ids 0 to 255 are bytes, 256 is "he", 257 the added token <s>.
Tokenizer tokenizer_with(const std::string& config, const std::string& added = "{}",
                         const std::string& special_map = "{}") {
    const io::Json json = test::byte_level_model({{"h", "e"}});
    const io::Json config_json = test::parse(config), added_json = test::parse(added);
    const io::Json map_json = test::parse(special_map);
    return Tokenizer::from_json(
        json, {.config = &config_json, .added_tokens = &added_json, .special_map = &map_json});
}

std::string warnings_of(const std::function<void()>& work) {
    testing::internal::CaptureStderr();
    work();
    return testing::internal::GetCapturedStderr();
}

TEST(DeclaredTokens, OfTheDecoderHaveTheirIdsAndFlags) {
    const Tokenizer tokenizer = tokenizer_with(R"({"added_tokens_decoder": {
        "257": {"content": "<s>", "special": true},
        "300": {"content": "<|im_end|>", "special": true, "lstrip": true},
        "299": {"content": "<think>", "special": false, "normalized": false}},
        "eos_token": "<|im_end|>"})");
    EXPECT_EQ(tokenizer.encode("a  <|im_end|>b<think>"), (Ids{'a', 300, 'b', 299}));
    EXPECT_EQ(tokenizer.decode(Ids{'a', 300, 'b', 299}), "ab<think>");
    EXPECT_EQ(tokenizer.eos(), 300);
    EXPECT_EQ(tokenizer.vocabulary_size(), 301);
}

TEST(DeclaredTokens, OfTheDecoderMayBeTokensOfTheModel) {
    const std::string decoder =
        R"({"added_tokens_decoder": {"256": {"content": "he", "special": true}}})";
    EXPECT_TRUE(tokenizer_with(decoder).is_special(256));
    EXPECT_FALSE(tokenizer_with("{}").is_special(256));
}

TEST(DeclaredTokens, OfAddedTokensAreSpecialIfTheyAreNamedSo) {
    const std::string added = R"({"<a>": 260, "<b>": 259})";
    for (const char* names : {R"(["<a>"])", R"([{"content": "<a>", "lstrip": false}])"}) {
        const Tokenizer tokenizer =
            tokenizer_with(R"({"additional_special_tokens": )" + std::string(names) + "}", added);
        EXPECT_EQ(tokenizer.encode("<b><a>"), (Ids{259, 260}));
        EXPECT_TRUE(tokenizer.is_special(260));
        EXPECT_FALSE(tokenizer.is_special(259));
    }
    const Tokenizer extra =
        tokenizer_with(R"({"extra_special_tokens": {"image": "<a>"}, "eos_token": "<b>"})", added);
    EXPECT_TRUE(extra.is_special(260) && extra.is_special(259));
}

TEST(DeclaredTokens, TheMapOfSpecialTokensNamesThemToo) {
    const std::string added = R"({"<a>": 260, "<b>": 259})";
    const Tokenizer tokenizer = tokenizer_with(
        "{}", added, R"({"additional_special_tokens": ["<a>"], "eos_token": {"content": "<b>"}})");
    EXPECT_TRUE(tokenizer.is_special(260) && tokenizer.is_special(259));
    EXPECT_EQ(tokenizer.eos(), 259);
    const Tokenizer both =
        tokenizer_with(R"({"eos_token": "<a>"})", added, R"({"eos_token": "<b>"})");
    EXPECT_EQ(both.eos(), 260) << "the config first";
}

TEST(DeclaredTokens, OfOlderFilesDoNotCountBesideADecoder) {
    const Tokenizer tokenizer = tokenizer_with(R"({"added_tokens_decoder": {}})", R"({"<a>": 260})",
                                               R"({"eos_token": "he"})");
    EXPECT_FALSE(tokenizer.id_of("<a>"));
    EXPECT_FALSE(tokenizer.eos());
}

TEST(DeclaredTokens, NamedOnesMayHaveTheIdOfTheModel) {
    const Tokenizer tokenizer = tokenizer_with(R"({"additional_special_tokens": ["he"]})");
    EXPECT_TRUE(tokenizer.is_special(256));
    EXPECT_TRUE(tokenizer_with(R"({"eos_token": "he"})").is_special(256));
}

TEST(DeclaredTokens, WithoutAnIdOfTheirOwnStayTextWithAWord) {
    const auto encoded = [](const std::string& config) {
        Ids ids;
        const std::string said = warnings_of([&] { ids = tokenizer_with(config).encode("<x>"); });
        EXPECT_EQ(ids, (Ids{'<', 'x', '>'}));
        return said;
    };
    EXPECT_NE(encoded(R"({"additional_special_tokens": ["<x>"]})").find("\"<x>\", which has no id"),
              std::string::npos);
    EXPECT_NE(encoded(R"({"added_tokens_decoder": {"256": {"content": "<x>"}}})")
                  .find("\"<x>\" has id 256, which is that of \"he\""),
              std::string::npos);
    EXPECT_EQ(encoded(R"({"pad_token": "<x>"})"), "") << "no text is asked to hold it";
    const std::string twice = encoded(R"({"added_tokens_decoder": {
        "258": {"content": "<y>"}, "0258": {"content": "<x>"}}})");
    EXPECT_NE(twice.find("has id 258"), std::string::npos) << twice;
}

TEST(DeclaredTokens, OfTheModelUnderAnotherIdKeepTheModels) {
    const std::string said = warnings_of([] {
        const Tokenizer tokenizer =
            tokenizer_with(R"({"added_tokens_decoder": {"300": {"content": "he"}}})");
        EXPECT_EQ(tokenizer.encode("he"), Ids{256});
    });
    EXPECT_NE(said.find("\"he\" has id 300, but 256 in tokenizer.json"), std::string::npos) << said;
}

TEST(DeclaredTokens, WhatIsNoListOfThemIsCorrupt) {
    for (const char* config :
         {R"({"added_tokens_decoder": {"x": {"content": "<x>"}}})",
          R"({"added_tokens_decoder": {"-1": {"content": "<x>"}}})",
          R"({"added_tokens_decoder": {"4194304": {"content": "<x>"}}})",
          R"({"added_tokens_decoder": {"300": {"content": ""}}})",
          R"({"added_tokens_decoder": {"300": "<x>"}})", R"({"added_tokens_decoder": []})",
          R"({"additional_special_tokens": "<x>"})", R"({"additional_special_tokens": [3]})"}) {
        SCOPED_TRACE(config);
        expect_error(ErrorCode::Corrupt, {}, [&] { tokenizer_with(config); });
    }
    expect_error(ErrorCode::Corrupt, {}, [] { tokenizer_with("{}", R"({"<a>": "260"})"); });
}

}  // namespace
}  // namespace quarot::tokenizer
