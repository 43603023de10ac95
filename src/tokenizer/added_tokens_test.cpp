// Which added tokens are found, left out and refused, and what do they decode to?
#include "tokenizer/added_tokens.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "core/expect_error.h"
#include "tokenizer/test_model.h"

namespace quarot::tokenizer {
namespace {

TEST(AddedTokens, NormalizedOnesAreFoundInNormalizedText) {
    io::Json json = test::metaspace_model({"a"});
    json.set("normalizer", test::parse(R"({"type": "Replace", "pattern": {"String": "_"},
                                           "content": "a"})"));
    io::Json token = test::added_token("__", 260);
    token.set("normalized", true);
    token.set("special", false);
    json.set("added_tokens", io::Json::Array{token});
    const Tokenizer tokenizer = test::load(json);
    EXPECT_EQ(tokenizer.encode("aaa"), (std::vector<int32_t>{260, 259}));
    EXPECT_EQ(tokenizer.decode(std::vector<int32_t>{259, 260}), "aaa");
    EXPECT_FALSE(tokenizer.is_special(260));
}

TEST(AddedTokens, ThoseThatNormalizingLeavesNothingOfAreRefused) {
    io::Json json = test::metaspace_model({"a"});
    json.set("normalizer", test::parse(R"({"type": "Replace", "pattern": {"String": "_"},
                                           "content": ""})"));
    io::Json token = test::added_token("__", 260);
    token.set("normalized", true);
    json.set("added_tokens", io::Json::Array{token});
    expect_error(ErrorCode::Unsupported, {"nothing"}, [&] { test::load(json); });
}

// Costs about a hundred thousand steps on as many a as one text below has.
const char* const kCostly = R"({"type": "Replace", "pattern": {"Regex": "a{0,50}a{0,50}[cd]"},
                                "content": "-"})";

TEST(AddedTokens, TheirNormalizingHasABoundForAllOfThem) {
    const auto load = [](int32_t count) {
        io::Json json = test::metaspace_model({"a"});
        json.set("normalizer", test::parse(kCostly));
        io::Json::Array tokens;
        for (int32_t i = 0; i < count; ++i) {
            tokens.push_back(test::added_token(std::string(128, 'a') + std::to_string(i), 260 + i));
            tokens.back().set("normalized", true);
        }
        json.set("added_tokens", tokens);
        return test::load(json);
    };
    EXPECT_EQ(load(1).encode(std::string(128, 'a') + "0"), (std::vector<int32_t>{260}));
    expect_error(ErrorCode::OutOfMemory, {"normalizer", "work"}, [&] { load(100); });
}

TEST(AddedTokens, WhatStandsBetweenThemHasABoundTogether) {
    io::Json json = test::metaspace_model({"a"});
    json.set("normalizer", test::parse(kCostly));
    json.set("added_tokens", io::Json::Array{test::added_token("<x>", 260)});
    const Tokenizer tokenizer = test::load(json);
    const std::string unit = std::string(128, 'a') + "<x>";
    EXPECT_EQ(tokenizer.encode(unit).back(), 260);
    std::string text;
    for (int i = 0; i < 100; ++i) text += unit;
    expect_error(ErrorCode::OutOfMemory, {"normalizer", "work"}, [&] { tokenizer.encode(text); });
}

TEST(AddedTokens, AreNoSymbolsOfTheModel) {
    io::Json token = test::added_token("é", 260);
    token.set("single_word", true);
    io::Json json = test::metaspace_model({"a"});
    json.set("added_tokens", io::Json::Array{token});
    json.set("normalizer", io::Json());
    EXPECT_EQ(test::load(json).encode("éa"), (std::vector<int32_t>{3 + 0xC3, 3 + 0xA9, 259}));
}

TEST(AddedTokens, ASpecialTokenIsLeftOutIfItsNormalizedFormIsSpecial) {
    io::Json json = test::metaspace_model({"a"});
    json.set("normalizer", test::parse(R"({"type": "Replace", "pattern": {"String": "_"},
                                           "content": "-"})"));
    io::Json changed = test::added_token("_x", 260);
    io::Json unchanged = test::added_token("x", 261);
    changed.set("normalized", true);
    unchanged.set("normalized", true);
    json.set("added_tokens", io::Json::Array{changed, unchanged});
    const Tokenizer tokenizer = test::load(json);
    EXPECT_TRUE(tokenizer.is_special(260));
    EXPECT_EQ(tokenizer.decode(std::vector<int32_t>{259, 260, 261}), "a-x");
}

TEST(AddedTokens, OnesTooLongAreRefused) {
    io::Json json = test::metaspace_model({"a"});
    json.set("added_tokens", io::Json::Array{test::added_token(std::string(4096, '-'), 260)});
    test::load(json);
    json.set("added_tokens", io::Json::Array{test::added_token(std::string(4097, '-'), 260)});
    expect_error(ErrorCode::Corrupt, {"added_tokens", "4097", "4096"}, [&] { test::load(json); });
    json.set("normalizer", test::parse(R"({"type": "Replace", "pattern": {"String": "-"},
                                           "content": "+++"})"));
    io::Json token = test::added_token(std::string(2000, '-'), 260);
    token.set("normalized", true);
    json.set("added_tokens", io::Json::Array{token});
    expect_error(ErrorCode::Unsupported, {"added_tokens", "6000", "4096"},
                 [&] { test::load(json); });
}

TEST(AddedTokens, TooManyBytesTogetherAreRefused) {
    io::Json json = test::metaspace_model({"a"});
    io::Json::Array tokens;
    for (int32_t id = 260; tokens.size() < 1025; ++id) {
        std::string content(4096, '-');
        content.replace(0, 4, std::to_string(1000 + tokens.size()));
        tokens.push_back(test::added_token(content, id));
    }
    json.set("added_tokens", tokens);
    expect_error(ErrorCode::Unsupported, {"added_tokens", "4194304 bytes together"},
                 [&] { test::load(json); });
    tokens.pop_back();
    json.set("added_tokens", tokens);
    const Tokenizer tokenizer = test::load(json);
    EXPECT_EQ(tokenizer.encode(tokenizer.token(1283)), std::vector<int32_t>{1283});
}

TEST(AddedTokens, ConflictsWithTheVocabularyAreRefused) {
    for (const auto& [content, id] : {std::pair("</s>", 259), std::pair("new", 1)}) {
        io::Json json = test::metaspace_model({"a"});
        json.set("added_tokens", io::Json::Array{test::added_token(content, id)});
        expect_error(ErrorCode::Corrupt, {"added_tokens", content}, [&] { test::load(json); });
    }
}

TEST(AddedTokens, SingleWordsCountOnlyWhereTheyStandAlone) {
    io::Json token = test::added_token("ab", 262);
    token.set("single_word", true);
    io::Json json = test::metaspace_model({"a", "b", "\u2581"});
    json.set("added_tokens", io::Json::Array{token});
    const Tokenizer tokenizer = test::load(json);
    EXPECT_EQ(tokenizer.encode("ab"), (std::vector<int32_t>{262}));
    EXPECT_EQ(tokenizer.encode("aba"), (std::vector<int32_t>{261, 259, 260, 259}));
}

}  // namespace
}  // namespace quarot::tokenizer
