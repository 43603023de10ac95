// What do the escapes of a string literal stand for?
#include "jinja/string_literal.h"

#include <cstdint>
#include <optional>

#include "core/error.h"
#include "jinja/numbers.h"
#include "jinja/unicode.h"

namespace quarot::jinja {
namespace {

std::optional<char> simple_escape(char letter) {
    switch (letter) {
        case 'n':
            return '\n';
        case 't':
            return '\t';
        case 'r':
            return '\r';
        case 'a':
            return '\a';
        case 'b':
            return '\b';
        case 'f':
            return '\f';
        case 'v':
            return '\v';
        case '\\':
        case '\'':
        case '"':
            return letter;
        default:
            return std::nullopt;
    }
}

class Unescaper {
  public:
    Unescaper(std::string_view inside, int line) : inside_(inside), line_(line) {}

    std::string run() {
        while (at_ < inside_.size()) {
            if (inside_[at_] == '\\') {
                ++at_;
                read_escape();
            } else {
                out_ += inside_[at_++];
            }
        }
        return std::move(out_);
    }

  private:
    // at_ is behind the backslash; the lexer saw to it that a character follows.
    void read_escape() {
        const char letter = inside_[at_];
        if (const auto simple = simple_escape(letter)) {
            out_ += *simple;
            ++at_;
        } else if (letter == '\n') {
            ++at_;
        } else if (letter >= '0' && letter <= '7') {
            read_octal();
        } else if (letter == 'x' || letter == 'u' || letter == 'U') {
            ++at_;
            read_hexadecimal(letter == 'x' ? 2 : letter == 'u' ? 4 : 8);
        } else if (letter == 'N' || static_cast<unsigned char>(letter) >= 0x80) {
            fail(ErrorCode::Unsupported, "line {}: this escape in a string is not supported",
                 line_);
        } else {
            out_ += '\\';
        }
    }

    void read_octal() {
        char32_t code = 0;
        for (int i = 0; i < 3 && at_ < inside_.size() && digit_value(inside_[at_]) < 8; ++i) {
            code = code * 8 + static_cast<char32_t>(digit_value(inside_[at_++]));
        }
        append_utf8(out_, code);
    }

    void read_hexadecimal(int digits) {
        int64_t code = 0;
        for (int i = 0; i < digits; ++i) {
            const int digit = at_ < inside_.size() ? digit_value(inside_[at_]) : 99;
            if (digit >= 16) {
                fail(ErrorCode::Corrupt, "line {}: an escape in a string lacks digits", line_);
            }
            code = code * 16 + digit;
            ++at_;
        }
        if (code > 0x10FFFF) {
            fail(ErrorCode::Corrupt, "line {}: an escape in a string is no character", line_);
        }
        if (code >= 0xD800 && code < 0xE000) {
            fail(ErrorCode::Unsupported, "line {}: surrogates in strings are not supported", line_);
        }
        append_utf8(out_, static_cast<char32_t>(code));
    }

    std::string_view inside_;
    int line_;
    size_t at_ = 0;
    std::string out_;
};

}  // namespace

std::string unescaped(std::string_view inside, int line) {
    return Unescaper(inside, line).run();
}

}  // namespace quarot::jinja
