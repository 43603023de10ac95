// Escapes that stand for a character are spelled in Oniguruma's way.
#include "tokenizer/regex_reader.h"

#include "core/error.h"
#include "io/text.h"
#include "tokenizer/limits.h"
#include "tokenizer/unicode.h"

namespace quarot::tokenizer {
namespace {

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

}  // namespace

bool is_ascii_letter(char32_t code) {
    return (code >= 'a' && code <= 'z') || (code >= 'A' && code <= 'Z');
}

char32_t fold_ascii(char32_t code) {
    return code >= 'A' && code <= 'Z' ? code + ('a' - 'A') : code;
}

void RegexReader::refuse(std::string_view what) const {
    fail(ErrorCode::Unsupported, "{}: the expression {} is not supported, at byte {}: {}", place_,
         io::printable(pattern_), at_, what);
}

bool RegexReader::take(std::string_view wanted) {
    if (!looks_at(wanted)) return false;
    at_ += wanted.size();
    return true;
}

char32_t RegexReader::take_character() {
    const Character next = character_at(pattern_, at_);
    at_ = next.end;
    return next.code;
}

// The character that \x or \u spells, from behind the letter on.
char32_t RegexReader::take_number(char kind) {
    const bool braces = kind == 'x' && take("{");
    const size_t most = braces ? 6 : kind == 'x' ? 2 : 4;
    char32_t code = 0;
    size_t digits = 0;
    for (; digits < most && !at_end(); ++digits, ++at_) {
        const char c = peek();
        const char32_t folded = fold_ascii(static_cast<unsigned char>(c));
        if (is_digit(c)) {
            code = code * 16 + static_cast<char32_t>(c - '0');
        } else if (folded >= 'a' && folded <= 'f') {
            code = code * 16 + (folded - 'a' + 10);
        } else {
            break;
        }
    }
    const bool complete = braces ? digits > 0 && take("}") : digits == most;
    const bool character = code <= 0x10FFFF && (code < 0xD800 || code > 0xDFFF);
    if (!complete || !character || (kind == 'x' && !braces && code >= 0x80)) {
        refuse("a number that is no character");
    }
    return code;
}

std::optional<char32_t> RegexReader::take_escaped_character() {
    if (at_end()) refuse("a backslash at the end");
    const char c = peek();
    constexpr std::string_view kNames = "tnrfave";
    constexpr std::string_view kCharacters = "\t\n\r\f\a\v\x1B";
    if (const size_t known = kNames.find(c); known != std::string_view::npos) {
        ++at_;
        return static_cast<char32_t>(kCharacters[known]);
    }
    if (c == 'x' || c == 'u') {
        ++at_;
        return take_number(c);
    }
    if (is_digit(c) || is_ascii_letter(static_cast<unsigned char>(c))) return std::nullopt;
    return take_character();
}

std::optional<int> RegexReader::take_count() {
    if (!is_digit(peek())) return std::nullopt;
    int count = 0;
    for (; is_digit(peek()); ++at_) {
        count = count * 10 + (peek() - '0');
        if (count > limits::kPatternRepeats) refuse("a count too high");
    }
    return count;
}

}  // namespace quarot::tokenizer
