// TOML's numbers: underscores between digits, no leading zeros, digits around a point.
#include "apps/toml_number.h"

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>

namespace quarot::apps {

namespace {

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

bool is_alphanumeric(char c) {
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

// Empty if an underscore does not stand between two digits.
std::optional<std::string> without_underscores(std::string_view word) {
    std::string out;
    for (size_t i = 0; i < word.size(); ++i) {
        if (word[i] != '_') {
            out += word[i];
        } else if (i == 0 || i + 1 == word.size() || !is_alphanumeric(word[i - 1]) ||
                   !is_alphanumeric(word[i + 1])) {
            return std::nullopt;
        }
    }
    return out;
}

std::optional<std::string> with_base(std::string_view word, int base) {
    const std::optional<std::string> digits = without_underscores(word);
    if (!digits || digits->starts_with('-')) return std::nullopt;
    int64_t value = 0;
    const char* end = digits->data() + digits->size();
    const auto result = std::from_chars(digits->data(), end, value, base);
    if (result.ec != std::errc() || result.ptr != end) return std::nullopt;
    return std::to_string(value);
}

size_t count_digits(std::string_view text) {
    return static_cast<size_t>(std::find_if_not(text.begin(), text.end(), is_digit) - text.begin());
}

// digits [. digits] [e [sign] digits], to the end.
bool is_decimal(std::string_view text) {
    const size_t whole = count_digits(text);
    if (whole == 0 || (whole > 1 && text[0] == '0')) return false;
    text.remove_prefix(whole);
    if (text.starts_with('.')) {
        const size_t fraction = count_digits(text.substr(1));
        if (fraction == 0) return false;
        text.remove_prefix(1 + fraction);
    }
    if (text.starts_with('e') || text.starts_with('E')) {
        text.remove_prefix(1);
        if (text.starts_with('+') || text.starts_with('-')) text.remove_prefix(1);
        return !text.empty() && count_digits(text) == text.size();
    }
    return text.empty();
}

}  // namespace

std::optional<std::string> toml_number(std::string_view word) {
    if (word.starts_with("0x")) return with_base(word.substr(2), 16);
    if (word.starts_with("0o")) return with_base(word.substr(2), 8);
    if (word.starts_with("0b")) return with_base(word.substr(2), 2);
    std::optional<std::string> text = without_underscores(word);
    if (!text) return std::nullopt;
    if (text->starts_with('+')) text->erase(0, 1);
    const bool negative = text->starts_with('-') && !word.starts_with('+');
    if (!is_decimal(std::string_view(*text).substr(negative ? 1 : 0))) return std::nullopt;
    return text;
}

}  // namespace quarot::apps
