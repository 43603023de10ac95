// Texts as the definitions of tasks treat them, which are written in Python: what is white space,
// what a character, what a capital. All of well-formed UTF-8.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace quarot::eval {

// As str.isspace, which adds four separators of ASCII to the property White_Space.
bool is_space(char32_t code);

// Without white space at its end, or at both ends.
std::string_view without_space_at_end(std::string_view text);
std::string_view stripped(std::string_view text);

// Code points.
int64_t count_characters(std::string_view text);

// Every `from`, from left to right, becomes `to`, in one pass.
std::string replace_all(std::string_view text, std::string_view from, std::string_view to);

// The first character a capital, where it is one of ASCII; all others small.
std::string capitalized(std::string_view text);

}  // namespace quarot::eval
