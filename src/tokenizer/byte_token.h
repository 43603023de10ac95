// Tokens that stand for one byte, spelled <0x00> to <0xFF>.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace quarot::tokenizer {

std::string byte_token(uint8_t byte);

// Empty unless the token is exactly such a one, with two upper-case digits.
std::optional<uint8_t> byte_of_token(std::string_view token);

// Six bytes "<0x..>", whatever stands in the middle.
bool looks_like_byte_token(std::string_view token);

}  // namespace quarot::tokenizer
