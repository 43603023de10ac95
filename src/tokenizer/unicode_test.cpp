// Are characters read, repaired and classed as the oracle classes them?
#include "tokenizer/unicode.h"

#include <gtest/gtest.h>

#include <map>

#include "tokenizer/byte_level.h"
#include "tokenizer/byte_token.h"

namespace quarot::tokenizer {
namespace {

const std::string kBad = "\xEF\xBF\xBD";

TEST(Unicode, ValidTextStaysAsItIs) {
    const std::string text = "a\xC3\xA9\xE4\xBD\xA0\xF0\x9F\x99\x82\xF4\x8F\xBF\xBF";
    EXPECT_EQ(replace_invalid(text), text);
}

TEST(Unicode, EachByteThatCannotBeginACharacterIsReplaced) {
    EXPECT_EQ(replace_invalid("\x80\xBF"), kBad + kBad);
    EXPECT_EQ(replace_invalid("\xC0\xAF"), kBad + kBad);
    EXPECT_EQ(replace_invalid("\xF5\x80"), kBad + kBad);
}

TEST(Unicode, ABrokenCharacterIsReplacedOnceAsFarAsItWasGood) {
    EXPECT_EQ(replace_invalid("\xE4\xBD"
                              "a"),
              kBad + "a");
    EXPECT_EQ(replace_invalid("\xF0\x9F\x99"
                              "a"),
              kBad + "a");
    EXPECT_EQ(replace_invalid("\xF0\x9F\x99"), kBad);
}

TEST(Unicode, OverlongFormsSurrogatesAndTooLargeValuesAreReplacedByteByByte) {
    EXPECT_EQ(replace_invalid("\xE0\x9F\xBF"), kBad + kBad + kBad);
    EXPECT_EQ(replace_invalid("\xED\xA0\x80"), kBad + kBad + kBad);
    EXPECT_EQ(replace_invalid("\xF4\x90\x80\x80"), kBad + kBad + kBad + kBad);
}

TEST(Unicode, CompleteLengthLeavesOutWhatFurtherBytesCouldComplete) {
    EXPECT_EQ(complete_length("ab"), 2U);
    EXPECT_EQ(complete_length("ab\xE4\xBD"), 2U);
    EXPECT_EQ(complete_length("\xF0\x9F\x99"), 0U);
    EXPECT_EQ(complete_length("\xE4\xBD\xA0"), 3U);
    EXPECT_EQ(complete_length("a\x80\x80"), 3U);  // no character begins here
    EXPECT_EQ(complete_length("\xE0\x80"), 2U);   // no byte can mend this
    EXPECT_EQ(complete_length(""), 0U);
}

TEST(Unicode, EveryCodePointReadsBackAsWritten) {
    for (char32_t code = 0; code < 0x110000; ++code) {
        if (code >= 0xD800 && code < 0xE000) continue;
        std::string text;
        append_utf8(text, code);
        const Character character = character_at(text, 0);
        ASSERT_EQ(character.code, code);
        ASSERT_EQ(character.end, text.size());
        ASSERT_EQ(character_before("x" + text, text.size() + 1), 1U);
        ASSERT_EQ(replace_invalid(text), text);
    }
}

TEST(Unicode, CategoriesOfSamples) {
    for (char32_t letter : {U'Z', U'É', U'ǅ'}) {
        EXPECT_EQ(category(letter), Category::UpperLetter) << static_cast<uint32_t>(letter);
    }
    for (char32_t letter : {U'a', U'é', U'ſ'}) {
        EXPECT_EQ(category(letter), Category::LowerLetter) << static_cast<uint32_t>(letter);
    }
    for (char32_t letter : {U'ª', U'ʰ', U'你', U'\U000323AF'}) {
        EXPECT_EQ(category(letter), Category::OtherLetter) << static_cast<uint32_t>(letter);
    }
    for (char32_t mark : {U'\u0301', U'\u0903', U'\u20DD'}) {
        EXPECT_EQ(category(mark), Category::Mark) << static_cast<uint32_t>(mark);
    }
    for (char32_t number : {U'0', U'9', U'²', U'½', U'٣', U'Ⅷ'}) {
        EXPECT_EQ(category(number), Category::Number) << static_cast<uint32_t>(number);
    }
    for (char32_t space : {U' ', U'\t', U'\n', U'\v', U'\u0085', U'\u00A0', U'\u3000'}) {
        EXPECT_TRUE(is_space(space)) << static_cast<uint32_t>(space);
    }
    for (char32_t other : {U'!', U'_', U'\u200B', U'🙂', U'\U0010FFFF'}) {
        EXPECT_EQ(category(other), Category::Other) << static_cast<uint32_t>(other);
    }
    EXPECT_EQ(category(U'\U00011DE0'), Category::NewerNumber);
}

TEST(Unicode, CategoriesHaveTheSizesOfTheOracle) {
    std::map<Category, int> count;
    int letters = 0;
    int words = 0;
    for (char32_t code = 0; code < 0x110000; ++code) {
        ++count[category(code)];
        letters += is_letter(category(code)) ? 1 : 0;
        words += is_word(code) ? 1 : 0;
    }
    EXPECT_EQ(letters, 141028);
    EXPECT_EQ(count[Category::Mark], 2501);
    EXPECT_EQ(count[Category::Number], 1911);
    EXPECT_EQ(count[Category::NewerNumber], 13);
    EXPECT_EQ(count[Category::Space], 25);
    EXPECT_EQ(words, 144667);
}

TEST(Unicode, WordsHaveLettersDigitsMarksAndJoiners) {
    for (char32_t word : {U'a', U'Z', U'7', U'_', U'你', U'\u0301', U'\u200D', U'Ⅷ'}) {
        EXPECT_TRUE(is_word(word)) << static_cast<uint32_t>(word);
    }
    for (char32_t other : {U' ', U'!', U'-', U'½', U'🙂', U'\u200B', U'\U0010FFFF'}) {
        EXPECT_FALSE(is_word(other)) << static_cast<uint32_t>(other);
    }
}

TEST(ByteLevel, SpellsEveryByteAndReadsItBack) {
    for (int byte = 0; byte < 256; ++byte) {
        const std::string bytes(1, static_cast<char>(byte));
        EXPECT_EQ(bytes_of_spelling(spell_bytes(bytes)), bytes) << byte;
    }
    EXPECT_EQ(spell_bytes(" a\n"),
              "\xC4\xA0"
              "a\xC4\x8A");
}

TEST(ByteLevel, RefusesCharactersOutsideTheAlphabet) {
    EXPECT_EQ(bytes_of_spelling("a b"), std::nullopt);
    EXPECT_EQ(bytes_of_spelling("你"), std::nullopt);
}

TEST(ByteToken, OnlyTwoUpperCaseDigitsMakeAByte) {
    EXPECT_EQ(byte_of_token("<0x0A>"), 10);
    EXPECT_EQ(byte_of_token("<0xFF>"), 255);
    for (const char* token : {"<0xff>", "<0x-1>", "<0x+F>", "<0xG0>", "<0x0A", "<0x00A>", "0x0A"}) {
        EXPECT_EQ(byte_of_token(token), std::nullopt) << token;
    }
    EXPECT_EQ(byte_token(0x0A), "<0x0A>");
}

}  // namespace
}  // namespace quarot::tokenizer
