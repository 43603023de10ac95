// What is this character, and how does it look in the other case? By Python's rules.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "jinja/text.h"

namespace quarot::jinja {

struct CodePoint {
    int32_t value;
    size_t bytes;
};

// The character that begins at text[at]; the text is well-formed UTF-8 and at < text.size().
CodePoint code_point_at(std::string_view text, size_t at);
// Byte where the character before `at` begins; at > 0.
size_t previous_character(std::string_view text, size_t at);
size_t count_characters(std::string_view text);
// Byte offset of the character number `index`; text.size() if there are not so many.
size_t byte_of_character(std::string_view text, size_t index);
void append_code_point(std::string& out, int32_t code);

bool is_space(int32_t code);
// The bytes that are left when characters that go are taken from the left or right end.
template <typename Goes>
Span stretch_without(std::string_view text, Goes goes, bool left, bool right) {
    Span kept{.begin = 0, .end = text.size()};
    while (left && kept.begin < text.size()) {
        const CodePoint c = code_point_at(text, kept.begin);
        if (!goes(c.value)) break;
        kept.begin += c.bytes;
    }
    while (right && kept.end > kept.begin) {
        const size_t before = previous_character(text, kept.end);
        if (!goes(code_point_at(text, before).value)) break;
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
