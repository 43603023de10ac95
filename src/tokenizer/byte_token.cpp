// Digits are matched one by one: a general number parser would also take signs and lower case.
#include "tokenizer/byte_token.h"

#include <fmt/format.h>

namespace quarot::tokenizer {
namespace {

int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

}  // namespace

std::string byte_token(uint8_t byte) {
    return fmt::format("<0x{:02X}>", byte);
}

std::optional<uint8_t> byte_of_token(std::string_view token) {
    if (!looks_like_byte_token(token)) return std::nullopt;
    const int high = hex_digit(token[3]);
    const int low = hex_digit(token[4]);
    if (high < 0 || low < 0) return std::nullopt;
    return static_cast<uint8_t>(high * 16 + low);
}

bool looks_like_byte_token(std::string_view token) {
    return token.size() == 6 && token.starts_with("<0x") && token.ends_with('>');
}

}  // namespace quarot::tokenizer
