// Text from files made safe to judge, to search and to show: UTF-8 validity, linear searches and
// printable excerpts.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace quarot::io {

// Bytes of the well-formed UTF-8 sequence that begins at text[at]; 0 if there is none (overlong
// forms, surrogates and values above U+10FFFF are not well-formed). at < text.size().
size_t utf8_length_at(std::string_view text, size_t at);

// Offset of the first byte that is not UTF-8; text.size() if all is well.
size_t first_non_utf8(std::string_view text);

// First place at or after `from` where needle stands in text; npos if none. Linear in both lengths,
// whatever they hold.
size_t find_bytes(std::string_view text, std::string_view needle, size_t from = 0);

// C0 and C1 controls and DEL.
bool has_control_characters(std::string_view text);

// For messages: one line, control characters and stray bytes as \xNN, cut after max_bytes.
std::string printable(std::string_view text, size_t max_bytes = 120);

}  // namespace quarot::io
