// How are numbers read from text and written as Python writes them?
#include "jinja/numbers.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <cstdlib>

#include "core/checked_math.h"
#include "core/error.h"
#include "jinja/unicode.h"

namespace quarot::jinja {
namespace {

char lower(char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

bool is_alphanumeric(char c) {
    return is_digit(c) || (lower(c) >= 'a' && lower(c) <= 'z');
}

// Without underscores; empty if one stands elsewhere than between digits.
std::optional<std::string> without_underscores(std::string_view text) {
    std::string out;
    for (size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '_') {
            out += text[i];
            continue;
        }
        const bool between = i > 0 && i + 1 < text.size() && text[i - 1] != '_' &&
                             text[i + 1] != '_' && is_alphanumeric(text[i - 1]) &&
                             is_alphanumeric(text[i + 1]);
        if (!between) return std::nullopt;
    }
    return out;
}

bool looks_like_decimal(std::string_view text) {
    size_t at = !text.empty() && (text[0] == '+' || text[0] == '-');
    size_t digits = 0;
    for (; at < text.size() && is_digit(text[at]); ++at) ++digits;
    if (at < text.size() && text[at] == '.') {
        for (++at; at < text.size() && is_digit(text[at]); ++at) ++digits;
    }
    if (digits == 0) return false;
    if (at == text.size()) return true;
    if (text[at] != 'e' && text[at] != 'E') return false;
    if (++at < text.size() && (text[at] == '+' || text[at] == '-')) ++at;
    if (at == text.size()) return false;
    for (; at < text.size(); ++at) {
        if (!is_digit(text[at])) return false;
    }
    return true;
}

std::optional<double> parse_special(std::string_view text) {
    std::string word;
    for (char c : text) word += lower(c);
    double sign = 1;
    if (!word.empty() && (word[0] == '+' || word[0] == '-')) {
        if (word[0] == '-') sign = -1;
        word.erase(0, 1);
    }
    if (word == "inf" || word == "infinity") return sign * HUGE_VAL;
    if (word == "nan") return std::nan("");
    return std::nullopt;
}

// Removes 0x, 0o or 0b where the base allows it; base 0 is decided by the prefix.
bool take_prefix(std::string_view& digits, int& base) {
    const auto takes = [&](char letter, int of) {
        if (digits.size() < 2 || digits[0] != '0' || (base != of && base != 0)) return false;
        if (lower(digits[1]) != letter) return false;
        digits.remove_prefix(2);
        if (!digits.empty() && digits[0] == '_') digits.remove_prefix(1);
        base = of;
        return true;
    };
    return takes('x', 16) || takes('o', 8) || takes('b', 2);
}

}  // namespace

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

int digit_value(char c) {
    if (is_digit(c)) return c - '0';
    if (c >= 'a' && c <= 'z') return c - 'a' + 10;
    if (c >= 'A' && c <= 'Z') return c - 'A' + 10;
    return 99;
}

std::string float_text(double number) {
    if (std::isnan(number)) return "nan";
    if (std::isinf(number)) return number > 0 ? "inf" : "-inf";
    if (number == 0) return std::signbit(number) ? "-0.0" : "0.0";
    char buffer[64];
    const auto end = std::to_chars(buffer, buffer + sizeof buffer, std::abs(number),
                                   std::chars_format::scientific);
    const std::string_view written(buffer, static_cast<size_t>(end.ptr - buffer));
    const size_t e = written.find('e');
    const int exponent = std::atoi(std::string(written.substr(e + 1)).c_str());
    std::string digits(1, written[0]);
    if (e > 2) digits += written.substr(2, e - 2);

    const int count = static_cast<int>(digits.size());
    std::string out = std::signbit(number) ? "-" : "";
    if (exponent < -4 || exponent >= 16) {
        out += digits[0];
        if (count > 1) out.append(".").append(digits, 1);
        return out + fmt::format("e{}{:02}", exponent < 0 ? '-' : '+', std::abs(exponent));
    }
    if (exponent < 0) {
        return out + "0." + std::string(static_cast<size_t>(-exponent - 1), '0') + digits;
    }
    if (exponent + 1 >= count) {
        return out + digits + std::string(static_cast<size_t>(exponent + 1 - count), '0') + ".0";
    }
    const auto point = static_cast<size_t>(exponent + 1);
    return out + digits.substr(0, point) + "." + digits.substr(point);
}

std::optional<double> parse_float(std::string_view text) {
    const auto clean = without_underscores(without_spaces(text));
    if (!clean) return std::nullopt;
    if (!looks_like_decimal(*clean)) return parse_special(*clean);
    return std::strtod(clean->c_str(), nullptr);
}

std::optional<int64_t> parse_integer(std::string_view text, int base) {
    std::string_view digits = without_spaces(text);
    bool negative = false;
    if (!digits.empty() && (digits[0] == '+' || digits[0] == '-')) {
        negative = digits[0] == '-';
        digits.remove_prefix(1);
    }
    const bool by_prefix = base == 0;
    if (!take_prefix(digits, base) && by_prefix) base = 10;
    const auto clean = without_underscores(digits);
    if (!clean || clean->empty()) return std::nullopt;
    for (char c : *clean) {
        if (digit_value(c) >= base) return std::nullopt;
    }
    if (by_prefix && base == 10 && (*clean)[0] == '0' &&
        clean->find_first_not_of('0') != std::string::npos) {
        return std::nullopt;
    }
    int64_t value = 0;
    for (char c : *clean) {
        const auto shifted = checked_mul(value, base);
        const int digit = digit_value(c);
        const auto next = shifted ? checked_add(*shifted, negative ? -digit : digit) : std::nullopt;
        if (!next) fail(ErrorCode::Unsupported, "integers above 64 bits are not supported");
        value = *next;
    }
    return value;
}

int64_t whole_part(double number) {
    constexpr double kBound = 9223372036854775808.0;  // 2^63
    if (!std::isfinite(number)) {
        fail(ErrorCode::Corrupt, "cannot make an integer of {}", float_text(number));
    }
    if (number >= kBound || number < -kBound) {
        fail(ErrorCode::Unsupported, "integers above 64 bits are not supported");
    }
    return static_cast<int64_t>(number);
}

}  // namespace quarot::jinja
