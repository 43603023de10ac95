#include "jinja/unicode.h"

#include <utf8proc.h>

namespace quarot::jinja {
namespace {

utf8proc_category_t category(int32_t code) {
    return utf8proc_category(code);
}

}  // namespace

size_t count_characters(std::string_view text) {
    size_t count = 0;
    for (char c : text) count += (static_cast<unsigned char>(c) & 0xC0) != 0x80;
    return count;
}

size_t byte_of_character(std::string_view text, size_t index) {
    size_t at = 0;
    for (; at < text.size(); ++at) {
        if ((static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) continue;
        if (index-- == 0) return at;
    }
    return at;
}

bool is_space(int32_t code) {
    if (code < 0x80) return (code >= 9 && code <= 13) || (code >= 0x1C && code <= 0x20);
    return code == 0x85 || category(code) == UTF8PROC_CATEGORY_ZS ||
           category(code) == UTF8PROC_CATEGORY_ZL || category(code) == UTF8PROC_CATEGORY_ZP;
}

std::string_view without_spaces(std::string_view text) {
    const Span kept = stretch_without(text, is_space, true, true);
    return text.substr(kept.begin, kept.end - kept.begin);
}

bool is_printable(int32_t code) {
    if (code == ' ') return true;
    switch (category(code)) {
        case UTF8PROC_CATEGORY_CC:
        case UTF8PROC_CATEGORY_CF:
        case UTF8PROC_CATEGORY_CS:
        case UTF8PROC_CATEGORY_CO:
        case UTF8PROC_CATEGORY_CN:
        case UTF8PROC_CATEGORY_ZL:
        case UTF8PROC_CATEGORY_ZP:
        case UTF8PROC_CATEGORY_ZS:
            return false;
        default:
            return true;
    }
}

bool is_lower(int32_t code) {
    return utf8proc_islower(code);
}
bool is_upper(int32_t code) {
    return utf8proc_isupper(code);
}
bool is_cased(int32_t code) {
    return is_lower(code) || is_upper(code) || category(code) == UTF8PROC_CATEGORY_LT;
}

bool is_alpha(int32_t code) {
    const utf8proc_category_t kind = category(code);
    return kind >= UTF8PROC_CATEGORY_LU && kind <= UTF8PROC_CATEGORY_LO;
}

bool is_decimal(int32_t code) {
    return category(code) == UTF8PROC_CATEGORY_ND;
}

bool is_numeric(int32_t code) {
    const utf8proc_category_t kind = category(code);
    return kind >= UTF8PROC_CATEGORY_ND && kind <= UTF8PROC_CATEGORY_NO;
}

bool is_word(int32_t code) {
    return code == '_' || is_alpha(code) || is_numeric(code);
}

}  // namespace quarot::jinja
