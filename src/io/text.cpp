// Searches go by memmem, which reads neither text twice.
#include "io/text.h"

#include <fmt/format.h>

#include <cstdint>
#include <cstring>

#include "io/utf8.h"

namespace quarot::io {

namespace {

// Control character of `length` bytes at `at`: U+0000..1F, U+7F..9F.
bool is_control(std::string_view text, size_t at, size_t length) {
    const uint8_t first = byte_at(text, at);
    if (length == 1) return first < 0x20 || first == 0x7f;
    return length == 2 && first == 0xc2 && byte_at(text, at + 1) < 0xa0;
}

}  // namespace

size_t find_bytes(std::string_view text, std::string_view needle, size_t from) {
    if (from > text.size()) return std::string_view::npos;
    if (needle.empty()) return from;
    // std::string::find would take the product of the lengths on hostile texts.
    const void* at = ::memmem(text.data() + from, text.size() - from, needle.data(), needle.size());
    if (at == nullptr) return std::string_view::npos;
    return static_cast<size_t>(static_cast<const char*>(at) - text.data());
}

bool has_control_characters(std::string_view text) {
    for (size_t at = 0; at < text.size();) {
        const size_t length = utf8_length_at(text, at);
        if (length == 0 || is_control(text, at, length)) return true;
        at += length;
    }
    return false;
}

std::string printable(std::string_view text, size_t max_bytes) {
    std::string result;
    for (size_t at = 0; at < text.size();) {
        if (result.size() >= max_bytes) return result + "...";
        const size_t length = utf8_length_at(text, at);
        if (length == 0 || is_control(text, at, length)) {
            result += fmt::format("\\x{:02x}", byte_at(text, at));
            ++at;
        } else {
            result.append(text.substr(at, length));
            at += length;
        }
    }
    return result;
}

}  // namespace quarot::io
