#include "tokenizer/added_tokens.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "io/expect_error.h"
#include "tokenizer/test_model.h"

namespace quarot::tokenizer {
namespace {

AddedToken plain(int32_t id, const std::string& content) {
    return {.id = id,
            .content = content,
            .special = true,
            .normalized = false,
            .lstrip = false,
            .rstrip = false};
}

// Segments as readable text: "[id]" for a token.
std::string found(const std::vector<AddedToken>& tokens, const std::string& text) {
    std::string result;
    for (const Segment& segment : TokenFinder(tokens).segments(text)) {
        result += segment.id ? fmt::format("[{}]", *segment.id) : fmt::format("({})", segment.text);
    }
    return result;
}

TEST(AddedTokens, CutTheTextWhereTheyStand) {
    const std::vector<AddedToken> tokens{plain(7, "<x>")};
    EXPECT_EQ(found(tokens, "a<x>b"), "(a)[7](b)");
    EXPECT_EQ(found(tokens, "<x><x>"), "[7][7]");
    EXPECT_EQ(found(tokens, "<<x"), "(<<x)");
    EXPECT_EQ(found(tokens, ""), "");
}

TEST(AddedTokens, TheLeftmostThenTheLongestIsFound) {
    const std::vector<AddedToken> tokens{plain(1, "<x>"), plain(2, "<x>y"), plain(3, ">ya")};
    EXPECT_EQ(found(tokens, "a<x>ya"), "(a)[2](a)");
    EXPECT_EQ(found(tokens, "<x>z>ya"), "[1](z)[3]");
    EXPECT_EQ(found({plain(1, "ab"), plain(2, "abcd")}, "abce"), "[1](ce)");
}

TEST(AddedTokens, StrippingTokensSwallowTheSpacesBesideThem) {
    AddedToken left = plain(1, "<l>");
    left.lstrip = true;
    AddedToken right = plain(2, "<r>");
    right.rstrip = true;
    EXPECT_EQ(found({left, right}, "a \u2003<l> b"), "(a)[1]( b)");
    EXPECT_EQ(found({left, right}, "a <r>\n b"), "(a )[2](b)");
    EXPECT_EQ(found({left, right}, "a<r> <l> <r> "), "(a)[2][1]( )[2]");
}

TEST(AddedTokens, ATokenOfSpacesAlreadySwallowedIsFoundOnlyIfItDoesNotStripLeft) {
    AddedToken right = plain(1, "<r>");
    right.rstrip = true;
    AddedToken space = plain(2, " ");
    EXPECT_EQ(found({right, space}, "<r> a"), "[1][2](a)");
    space.lstrip = true;
    EXPECT_EQ(found({right, space}, "<r> a"), "[1](a)");
}

TEST(AddedTokens, ManyStrippingTokensInARowCostLittle) {
    AddedToken space = plain(1, " ");
    space.rstrip = true;
    const TokenFinder finder({space});
    EXPECT_EQ(finder.segments(std::string(size_t{1} << 20, ' ')).size(), size_t{1} << 20);
}

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
    io::expect_error(ErrorCode::Unsupported, {"nothing"}, [&] { test::load(json); });
}

TEST(AddedTokens, ConflictsWithTheVocabularyAreRefused) {
    for (const auto& [content, id] : {std::pair("</s>", 259), std::pair("new", 1)}) {
        io::Json json = test::metaspace_model({"a"});
        json.set("added_tokens", io::Json::Array{test::added_token(content, id)});
        io::expect_error(ErrorCode::Corrupt, {"added_tokens", content}, [&] { test::load(json); });
    }
}

TEST(AddedTokens, WhatIsNotDoneIsRefused) {
    io::Json token = test::added_token("x", 300);
    token.set("single_word", true);
    io::Json json = test::metaspace_model({"a"});
    json.set("added_tokens", io::Json::Array{token});
    io::expect_error(ErrorCode::Unsupported, {"single_word"}, [&] { test::load(json); });
}

}  // namespace
}  // namespace quarot::tokenizer
