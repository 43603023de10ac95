// Characters as Python classes them, and texts in the other case.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "io/utf8.h"
#include "jinja/text.h"

namespace quarot::jinja {

using io::append_utf8;
using io::Character;
using io::character_at;
using io::character_before;

size_t count_characters(std::string_view text);
// Byte offset of the character number `index`; text.size() if there are not so many.
size_t byte_of_character(std::string_view text, size_t index);

bool is_space(int32_t code);
// The bytes that are left when characters that go are taken from the left or right end.
template <typename Goes>
Span stretch_without(std::string_view text, Goes goes, bool left, bool right) {
    Span kept{.begin = 0, .end = text.size()};
    while (left && kept.begin < text.size()) {
        const Character c = character_at(text, kept.begin);
        if (!goes(c.code)) break;
        kept.begin = c.end;
    }
    while (right && kept.end > kept.begin) {
        const size_t before = character_before(text, kept.end);
        if (!goes(character_at(text, before).code)) break;
        kept.end = before;
    }
    return kept;
}
std::string_view without_spaces(std::string_view text);

bool is_printable(int32_t code);
bool is_cased(int32_t code);
bool is_lower(int32_t code);
bool is_upper(int32_t code);
bool is_alpha(int32_t code);
bool is_decimal(int32_t code);
bool is_numeric(int32_t code);
bool is_word(int32_t code);  // what \w of a regular expression matches

// Marks stay where they were.
Text to_upper(const Text& text);
Text to_lower(const Text& text);
Text capitalized(const Text& text);        // first character as a title, the rest lower
Text words_capitalized(const Text& text);  // each run of cased characters
// One character, in all the characters that its other case takes.
std::string upper_of(int32_t code);
std::string title_of(int32_t code);

}  // namespace quarot::jinja
