// Both directions of the alphabet come from one table, made on first use.
#include "tokenizer/byte_level.h"

#include <array>

#include "tokenizer/unicode.h"

namespace quarot::tokenizer {
namespace {

constexpr size_t kCharacters = 0x100 + 68;

struct Alphabet {
    std::array<std::string, 256> spelling;
    std::array<int, kCharacters> byte_of;  // -1: not of the alphabet
};

bool stands_for_itself(int byte) {
    return (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

Alphabet make_alphabet() {
    Alphabet alphabet;
    alphabet.byte_of.fill(-1);
    char32_t next = 0x100;
    for (int byte = 0; byte < 256; ++byte) {
        const char32_t code = stands_for_itself(byte) ? static_cast<char32_t>(byte) : next++;
        alphabet.byte_of[code] = byte;
        append_utf8(alphabet.spelling[static_cast<size_t>(byte)], code);
    }
    return alphabet;
}

const Alphabet& alphabet() {
    static const Alphabet made = make_alphabet();
    return made;
}

}  // namespace

std::string_view character_of_byte(uint8_t byte) {
    return alphabet().spelling[byte];
}

std::string spell_bytes(std::string_view bytes) {
    std::string spelling;
    spelling.reserve(bytes.size() * 2);
    for (char byte : bytes) spelling += character_of_byte(static_cast<uint8_t>(byte));
    return spelling;
}

std::optional<std::string> bytes_of_spelling(std::string_view token) {
    std::string bytes;
    bytes.reserve(token.size());
    for (size_t at = 0; at < token.size();) {
        const Character character = character_at(token, at);
        const int byte = character.code < kCharacters ? alphabet().byte_of[character.code] : -1;
        if (byte < 0) return std::nullopt;
        bytes.push_back(static_cast<char>(byte));
        at = character.end;
    }
    return bytes;
}

}  // namespace quarot::tokenizer
