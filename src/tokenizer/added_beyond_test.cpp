#include "tokenizer/added_beyond.h"

#include <gtest/gtest.h>

#include "core/expect_error.h"
#include "tokenizer/test_model.h"

namespace quarot::tokenizer {
namespace {

// Bytes 0 to 255, "he" 256, <s> 257, and <pad> 258, which is an added token alone.
Tokenizer tokenizer() {
    io::Json json = test::byte_level_model({{"h", "e"}});
    io::Json::Array added = json.at("added_tokens").as_array();
    added.push_back(test::added_token("<pad>", 258));
    json.set("added_tokens", added);
    return test::load(json);
}

TEST(AddedBeyond, SaysNothingOfTokensThatFit) {
    EXPECT_EQ(note_of_added_beyond(tokenizer(), 259), "");
    EXPECT_EQ(note_of_added_beyond(tokenizer(), 1000), "");
}

TEST(AddedBeyond, NamesAnAddedTokenWithoutAnEmbedding) {
    const std::string note = note_of_added_beyond(tokenizer(), 258);
    EXPECT_NE(note.find("\"<pad>\" has id 258"), std::string::npos) << note;
    EXPECT_NE(note.find("257 at most"), std::string::npos) << note;
}

TEST(AddedBeyond, TokensOfTheModelWithoutAnEmbeddingAreCorrupt) {
    expect_error(ErrorCode::Corrupt, {"tokenizer.json", "ids up to 257", "256 at most"},
                 [] { note_of_added_beyond(tokenizer(), 257); });
}

}  // namespace
}  // namespace quarot::tokenizer
