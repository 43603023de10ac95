// The alphabet in which byte-level vocabularies spell bytes: which character stands for which byte?
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace quarot::tokenizer {

// Printable Latin-1 bytes stand for themselves; the other 68, in ascending order, are the
// characters from U+0100 on, so that a space is U+0120. The view lives as long as the program.
std::string_view character_of_byte(uint8_t byte);

// The bytes of a text as such characters.
std::string spell_bytes(std::string_view bytes);

// The bytes that a token spells; empty if some character of it is not of the alphabet.
std::optional<std::string> bytes_of_spelling(std::string_view token);

}  // namespace quarot::tokenizer
