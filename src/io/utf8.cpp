#include "io/utf8.h"

#include "core/check.h"

namespace quarot::io {

namespace {

struct Lead {
    size_t length;  // 0: cannot begin a character
    uint8_t second_min = 0x80;
    uint8_t second_max = 0xBF;
};

// The second byte alone rules out overlong forms, surrogates and values past U+10FFFF.
Lead lead_of(uint8_t byte) {
    if (byte < 0x80) return {1};
    if (byte < 0xC2) return {0};
    if (byte < 0xE0) return {2};
    if (byte == 0xE0) return {3, 0xA0, 0xBF};
    if (byte == 0xED) return {3, 0x80, 0x9F};
    if (byte < 0xF0) return {3};
    if (byte == 0xF0) return {4, 0x90, 0xBF};
    if (byte < 0xF4) return {4};
    if (byte == 0xF4) return {4, 0x80, 0x8F};
    return {0};
}

}  // namespace

Character character_at(std::string_view text, size_t at) {
    const uint8_t first = byte_at(text, at);
    if (first < 0x80) return {first, at + 1};
    const size_t length = first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
    QUAROT_CHECK(at + length <= text.size(), "a character is cut at byte {}", at);
    char32_t code = first & (0x7FU >> length);
    for (size_t i = 1; i < length; ++i) code = code << 6 | (byte_at(text, at + i) & 0x3FU);
    return {code, at + length};
}

size_t character_before(std::string_view text, size_t end) {
    do --end;
    while (end > 0 && (byte_at(text, end) & 0xC0) == 0x80);
    return end;
}

void append_utf8(std::string& text, char32_t code) {
    const auto put = [&text](char32_t byte) { text.push_back(static_cast<char>(byte)); };
    if (code < 0x80) {
        put(code);
    } else if (code < 0x800) {
        put(0xC0 | code >> 6);
        put(0x80 | (code & 0x3F));
    } else if (code < 0x10000) {
        put(0xE0 | code >> 12);
        put(0x80 | (code >> 6 & 0x3F));
        put(0x80 | (code & 0x3F));
    } else {
        put(0xF0 | code >> 18);
        put(0x80 | (code >> 12 & 0x3F));
        put(0x80 | (code >> 6 & 0x3F));
        put(0x80 | (code & 0x3F));
    }
}

Utf8Sequence utf8_sequence_at(std::string_view bytes, size_t at) {
    const Lead lead = lead_of(byte_at(bytes, at));
    if (lead.length == 0) return {Utf8State::Invalid, 1};
    for (size_t i = 1; i < lead.length; ++i) {
        if (at + i == bytes.size()) return {Utf8State::Truncated, i};
        const uint8_t byte = byte_at(bytes, at + i);
        const uint8_t min = i == 1 ? lead.second_min : 0x80;
        const uint8_t max = i == 1 ? lead.second_max : 0xBF;
        if (byte < min || byte > max) return {Utf8State::Invalid, i};
    }
    return {Utf8State::Valid, lead.length};
}

size_t utf8_length_at(std::string_view bytes, size_t at) {
    const Utf8Sequence sequence = utf8_sequence_at(bytes, at);
    return sequence.state == Utf8State::Valid ? sequence.length : 0;
}

size_t first_non_utf8(std::string_view bytes) {
    size_t at = 0;
    while (at < bytes.size()) {
        const size_t length = utf8_length_at(bytes, at);
        if (length == 0) return at;
        at += length;
    }
    return at;
}

}  // namespace quarot::io
