// Text from files made safe to search and to show: linear searches and printable excerpts.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace quarot::io {

// First place at or after `from` where needle stands in text; npos if none. Linear in both lengths,
// whatever they hold.
size_t find_bytes(std::string_view text, std::string_view needle, size_t from = 0);

// C0 and C1 controls and DEL.
bool has_control_characters(std::string_view text);

// For messages: one line, control characters and stray bytes as \xNN, cut after max_bytes.
std::string printable(std::string_view text, size_t max_bytes = 120);

}  // namespace quarot::io
