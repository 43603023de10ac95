#include "serve/answer.h"

#include <gtest/gtest.h>

#include "serve/service_for_tests.h"

namespace quarot::serve {
namespace {

const AnswerFrame kFrame = {.id = "cmpl-1", .model = "tiny", .created = 7};

class AnswerTest : public testing::Test {
  protected:
    AnswerTest()
        : tokenizer_(tokenizer::Tokenizer::from_json(
              io::Json::parse(test::tiny_tokenizer_json(), "tokenizer.json"))),
          texts_(tokenizer_) {}
    tokenizer::Tokenizer tokenizer_;
    TokenTexts texts_;
};

TEST_F(AnswerTest, ATokensNumberIsTheSameDoubleWhereverItStands) {
    const double value = -0.1234567890123456;
    const std::vector<SpokenToken> tokens = {
        {.id = 'a', .score = std::nullopt, .offset = 0},
        {.id = 'b',
         .score = runtime::TokenScore{.token = {'b', value}, .top = {{'b', value}, {'c', -3.0}}},
         .offset = 1}};
    const Piece piece = {.index = 0, .text = "ab", .finish_reason = "stop", .tokens = &tokens};
    const io::Json json = io::Json::parse(whole_answer(kFrame, {piece}, {2, 1}, texts_), "answer");
    const io::Json& logprobs = json.at("choices").as_array()[0].at("logprobs");
    EXPECT_TRUE(logprobs.at("token_logprobs").as_array()[0].is_null());
    EXPECT_TRUE(logprobs.at("top_logprobs").as_array()[0].is_null());
    EXPECT_EQ(logprobs.at("token_logprobs").as_array()[1].as_double(), value);
    EXPECT_EQ(logprobs.at("top_logprobs").as_array()[1].at("b").as_double(), value);
    EXPECT_EQ(logprobs.at("tokens").dump(-1), R"(["a","b"])");
    EXPECT_EQ(logprobs.at("text_offset").dump(-1), "[0,1]");
    EXPECT_EQ(json.at("usage").at("total_tokens").as_int(), 3);
}

// Half characters all read as U+FFFD.
TEST_F(AnswerTest, OfTokensThatReadAlikeTheLikeliestCounts) {
    const std::vector<SpokenToken> tokens = {
        {.id = 0xC3,
         .score = runtime::TokenScore{.token = {0xC3, -2.0}, .top = {{0xC4, -1.0}, {0xC3, -2.0}}},
         .offset = 0}};
    const Piece piece = {.index = 0, .text = "", .finish_reason = "stop", .tokens = &tokens};
    const io::Json json = io::Json::parse(whole_answer(kFrame, {piece}, {}, texts_), "answer");
    const io::Json& top =
        json.at("choices").as_array()[0].at("logprobs").at("top_logprobs").as_array()[0];
    ASSERT_EQ(top.as_object().size(), 1u) << top.dump();
    EXPECT_EQ(top.as_object()[0].second.as_double(), -1.0);
}

TEST_F(AnswerTest, AChatsTokensHaveTheirBytes) {
    AnswerFrame frame = kFrame;
    frame.is_chat = true;
    const std::vector<SpokenToken> tokens = {
        {.id = ' ', .score = runtime::TokenScore{.token = {' ', -1.0}, .top = {}}, .offset = 0}};
    const Piece piece = {.index = 0, .text = " ", .finish_reason = "stop", .tokens = &tokens};
    const io::Json json = io::Json::parse(whole_answer(frame, {piece}, {}, texts_), "answer");
    const io::Json& choice = json.at("choices").as_array()[0];
    EXPECT_EQ(choice.at("message").dump(-1), R"({"role":"assistant","content":" "})");
    EXPECT_EQ(choice.at("logprobs").at("content").as_array()[0].at("bytes").dump(-1), "[32]");
}

}  // namespace
}  // namespace quarot::serve
