#include "chat/turn_end.h"

#include <gtest/gtest.h>

#include "io/json.h"
#include "support/tiny_model.h"

namespace quarot::chat {
namespace {

using Ids = std::vector<int32_t>;

tokenizer::Tokenizer tokenizer_with(const std::string& config) {
    const io::Json beside = io::Json::parse(config, "tokenizer_config.json");
    return tokenizer::Tokenizer::from_json(
        io::Json::parse(test::tiny_tokenizer_json(), "tokenizer.json"), {.config = &beside});
}

TEST(TurnEnds, AreTheModelsAndTheOneOfTheTokenizersConfig) {
    const tokenizer::Tokenizer tokenizer = tokenizer_with(R"({"eos_token": "<s>"})");
    EXPECT_EQ(turn_ends({2, 7}, tokenizer), (Ids{2, 7, 256}));
    EXPECT_EQ(turn_ends({}, tokenizer), (Ids{256}));
}

TEST(TurnEnds, AreTheModelsAloneWhereTheTokenizerNamesNone) {
    EXPECT_EQ(turn_ends({2, 7}, tokenizer_with("{}")), (Ids{2, 7}));
}

}  // namespace
}  // namespace quarot::chat
