// UTF-8 and the character categories of split patterns: what is at this place of a text?
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace quarot::tokenizer {

// Disjoint; as in the Unicode version of the regular expressions, but for NewerNumber: numeric in
// the newer version of the Digits step, unassigned in the older one.
enum class Category : uint8_t {
    Other,
    UpperLetter,  // Lu, Lt
    LowerLetter,  // Ll
    OtherLetter,  // Lm, Lo
    Mark,         // M
    Number,       // N
    NewerNumber,
    Space
};

Category category(char32_t code);
inline bool is_letter(Category category) {
    return category >= Category::UpperLetter && category <= Category::OtherLetter;
}
inline bool is_space(char32_t code) {
    return category(code) == Category::Space;
}
// A character of \w, as the rule for added tokens that are single words sees it.
bool is_word(char32_t code);

struct Character {
    char32_t code = 0;
    size_t end = 0;  // where the next character begins
};

// The character that begins at `at` < text.size(). The text must be valid UTF-8.
Character character_at(std::string_view text, size_t at);

// Where the last character of a valid, non-empty text begins.
size_t last_character(std::string_view text);

// Each longest sequence of bytes that begins a character but cannot end one, and each byte that
// cannot begin one, becomes U+FFFD.
std::string replace_invalid(std::string_view bytes);

// The length of `bytes` without a character at the end that further bytes could complete.
size_t complete_length(std::string_view bytes);

void append_utf8(std::string& text, char32_t code);

}  // namespace quarot::tokenizer
