// UTF-8 as table 3-7 of the Unicode standard has it: characters read, written and stepped over.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace quarot::io {

// The byte at `at` < bytes.size(), as a number.
inline uint8_t byte_at(std::string_view bytes, size_t at) {
    return static_cast<uint8_t>(bytes[at]);
}

struct Character {
    char32_t code = 0;
    size_t end = 0;  // where the next character begins
};

// The character that begins at text[at]. Well-formed text only, at < text.size().
Character character_at(std::string_view text, size_t at);

// Where the character that ends at text[end] begins. Well-formed text only, 0 < end <= text.size().
size_t character_before(std::string_view text, size_t end);

// `code` below 0x110000.
void append_utf8(std::string& text, char32_t code);

enum class Utf8State : uint8_t { Valid, Invalid, Truncated };
struct Utf8Sequence {
    Utf8State state;
    size_t
        length;  // of the character, or of the bytes that begin one but cannot end it, at least 1
};

// What any bytes hold at `at` < bytes.size(). Overlong forms, surrogates and values above U+10FFFF
// are Invalid; Truncated needs more bytes than there are.
Utf8Sequence utf8_sequence_at(std::string_view bytes, size_t at);

// Bytes of the well-formed sequence at `at` < bytes.size(); 0 if there is none.
size_t utf8_length_at(std::string_view bytes, size_t at);

// Offset of the first byte that is not UTF-8; bytes.size() if all is well.
size_t first_non_utf8(std::string_view bytes);

}  // namespace quarot::io
