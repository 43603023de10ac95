// The characters of texts, their categories in split patterns, and bytes that are no characters.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "io/utf8.h"

namespace quarot::tokenizer {

using io::append_utf8;
using io::Character;
using io::character_at;
using io::character_before;

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

// Each longest sequence of bytes that begins a character but cannot end one, and each byte that
// cannot begin one, becomes U+FFFD.
std::string replace_invalid(std::string_view bytes);

// The length of `bytes` without a character at the end that further bytes could complete.
size_t complete_length(std::string_view bytes);

}  // namespace quarot::tokenizer
