// Where do the words and texts of a TOML file begin and end, and what do their escapes mean?
#include "apps/toml_scanner.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "core/error.h"
#include "io/utf8.h"

namespace quarot::apps {

namespace {

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

std::string with_plain_line_ends(std::string_view text) {
    std::string out;
    for (size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '\r' || i + 1 == text.size() || text[i + 1] != '\n') out += text[i];
    }
    return out;
}

bool is_control(char c) {
    const auto byte = static_cast<unsigned char>(c);
    return (byte < 0x20 && c != '\t' && c != '\n') || byte == 0x7F;
}

bool is_bare(char c) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    return letter || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '+' || c == '.' ||
           c == ':';
}

}  // namespace

TomlScanner::TomlScanner(std::string_view text, std::string path)
    : text_(with_plain_line_ends(text)), path_(std::move(path)) {
    const size_t stray = io::first_non_utf8(text_);
    if (stray != text_.size()) refuse_at(stray, "the file is not UTF-8");
    const auto control = std::find_if(text_.begin(), text_.end(), is_control);
    if (control != text_.end()) {
        refuse_at(static_cast<size_t>(control - text_.begin()),
                  fmt::format("control character \\x{:02x}, expected an escape such as \\n",
                              static_cast<unsigned char>(*control)));
    }
    if (text_.starts_with(kByteOrderMark)) at_ = kByteOrderMark.size();
}

bool TomlScanner::take(char c) {
    if (at_end() || text_[at_] != c) return false;
    ++at_;
    return true;
}

void TomlScanner::skip_blanks() {
    while (peek() == ' ' || peek() == '\t') ++at_;
    if (peek() == '#') at_ = std::min(text_.find('\n', at_), text_.size());
}

void TomlScanner::skip_blanks_and_lines() {
    do {
        skip_blanks();
    } while (take('\n'));
}

std::string_view TomlScanner::bare_word() {
    last_ = at_;
    while (is_bare(peek())) ++at_;
    return std::string_view(text_).substr(last_, at_ - last_);
}

std::string TomlScanner::quoted_text() {
    const char quote = peek();
    last_ = at_;
    return quoted(quote, take_three(quote));
}

std::string TomlScanner::quoted_line() {
    const char quote = peek();
    last_ = at_;
    if (take_three(quote)) refuse_last("a name within three quotes, expected one quote");
    return quoted(quote, false);
}

bool TomlScanner::take_three(char quote) {
    if (text_.compare(at_, 3, std::string(3, quote)) != 0) return false;
    at_ += 3;
    return true;
}

std::string TomlScanner::quoted(char quote, bool several_lines) {
    std::string text;
    several_lines ? take('\n') : take(quote);
    while (!at_end()) {
        const char c = peek();
        if (c == '\n' && !several_lines) break;
        if (c == quote && (!several_lines || take_three(quote))) {
            if (!several_lines) take(quote);
            // Up to two quotes may stand before the three that end the text.
            for (int i = 0; several_lines && i < 2 && take(quote); ++i) text += quote;
            return text;
        }
        ++at_;
        if (c == '\\' && quote == '"') {
            take_escape(text, several_lines);
        } else {
            text += c;
        }
    }
    refuse_last(several_lines ? "a text without the three quotes at its end"
                              : "a text without the quote at its end");
}

void TomlScanner::take_escape(std::string& to, bool several_lines) {
    constexpr std::string_view letters = "btnfr\"\\";
    constexpr std::string_view meanings = "\b\t\n\f\r\"\\";
    const char c = peek();
    const size_t letter = c == '\0' ? std::string_view::npos : letters.find(c);
    if (letter != std::string_view::npos) {
        ++at_;
        to += meanings[letter];
    } else if (take('u')) {
        take_code_point(to, 4);
    } else if (take('U')) {
        take_code_point(to, 8);
    } else {  // at the end of a line: goes on with the next word
        const size_t next = std::min(text_.find_first_not_of(" \t\n", at_), text_.size());
        const size_t line_end = text_.find('\n', at_);
        if (!several_lines || line_end >= next) {
            refuse(fmt::format("\\{} is no escape; write \\\\ for a backslash, or the text in ''",
                               c > ' ' && c < 0x7F ? std::string(1, c) : ""));
        }
        at_ = next;
    }
}

void TomlScanner::take_code_point(std::string& to, size_t n_digits) {
    const std::string digits = text_.substr(at_, n_digits);
    uint32_t code = 0;
    const char* end = digits.data() + digits.size();
    const auto result = std::from_chars(digits.data(), end, code, 16);
    const bool is_character = code != 0 && code <= 0x10FFFF && (code < 0xD800 || code > 0xDFFF);
    if (digits.size() != n_digits || result.ec != std::errc() || result.ptr != end ||
        !is_character) {
        refuse(
            fmt::format("expected {} hexadecimal digits of a character other than zero", n_digits));
    }
    at_ += n_digits;
    io::append_utf8(to, code);
}

void TomlScanner::refuse(const std::string& reason) const {
    refuse_at(at_, reason);
}

void TomlScanner::refuse_last(const std::string& reason) const {
    refuse_at(last_, reason);
}

void TomlScanner::refuse_at(size_t at, const std::string& reason) const {
    const std::string_view before = std::string_view(text_).substr(0, at);
    const auto line = 1 + std::count(before.begin(), before.end(), '\n');
    const size_t line_start = before.rfind('\n') + 1;  // 0 in the first line
    fail(ErrorCode::Usage, "{}, line {}, column {}: {}", path_, line, at - line_start + 1, reason);
}

}  // namespace quarot::apps
