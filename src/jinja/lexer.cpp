// How is the text of a template cut into tokens?
#include "jinja/lexer.h"

#include <array>
#include <optional>

#include "core/error.h"
#include "io/text.h"
#include "jinja/limits.h"
#include "jinja/numbers.h"
#include "jinja/string_literal.h"
#include "jinja/unicode.h"

namespace quarot::jinja {
namespace {

bool is_name_start(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

// Bytes of white space from there on.
size_t spaces_in(std::string_view text, size_t from) {
    return stretch_without(text.substr(from), is_space, true, false).begin;
}

// Line ends become \n, and one at the very end is dropped.
std::string with_plain_line_ends(std::string_view source) {
    std::string out;
    out.reserve(source.size());
    for (size_t i = 0; i < source.size(); ++i) {
        if (source[i] != '\r') {
            out += source[i];
            continue;
        }
        out += '\n';
        if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    }
    if (out.ends_with('\n')) out.pop_back();
    return out;
}

class Lexer {
  public:
    explicit Lexer(std::string_view source) : source_(with_plain_line_ends(source)) {}

    std::vector<Token> run() {
        while (at_ < source_.size()) read_data();
        add(Token::Kind::End);
        return std::move(tokens_);
    }

  private:
    std::string_view rest() const { return std::string_view(source_).substr(at_); }
    bool next_is(std::string_view text) const { return rest().starts_with(text); }

    [[noreturn]] void fail_here(std::string_view what) const {
        fail(ErrorCode::Corrupt, "line {}: {}", line_, what);
    }

    // Counts the lines that it passes.
    void advance(size_t bytes) {
        for (size_t i = 0; i < bytes; ++i) line_ += source_[at_ + i] == '\n';
        at_ += bytes;
    }

    void add(Token::Kind kind, std::string text = {}) {
        tokens_.push_back({.kind = kind, .line = line_, .text = std::move(text)});
    }

    size_t spaces_at(size_t at) const { return spaces_in(source_, at); }

    // Text up to the next tag, then the tag.
    void read_data() {
        size_t begin = at_;
        while (true) {
            begin = source_.find('{', begin);
            if (begin == std::string::npos || begin + 1 >= source_.size()) {
                add(Token::Kind::Data, source_.substr(at_));
                advance(source_.size() - at_);
                return;
            }
            const char next = source_[begin + 1];
            if (next == '{' || next == '%' || next == '#') break;
            ++begin;
        }
        const char tag = source_[begin + 1];
        const char sign = sign_at(begin + 2);
        add_stripped_data(source_.substr(at_, begin - at_), sign, tag != '{');
        advance(begin + (sign ? 3 : 2) - at_);
        if (tag == '#') return skip_comment();
        if (tag == '%') {
            if (const auto raw = raw_tag_size("raw")) return read_raw(*raw);
            add(Token::Kind::BlockBegin);
            return read_tag(false);
        }
        add(Token::Kind::VariableBegin);
        read_tag(true);
    }

    char sign_at(size_t at) const {
        const bool is_sign = at < source_.size() && (source_[at] == '-' || source_[at] == '+');
        return is_sign ? source_[at] : '\0';
    }

    // Text before a tag: all white space goes before "-"; before a block without "+" goes what
    // stands between the line's begin and the block.
    void add_stripped_data(std::string text, char sign, bool is_block) {
        if (sign == '-') {
            text.resize(stretch_without(text, is_space, false, true).end);
        } else if (sign != '+' && is_block) {
            const size_t newline = text.rfind('\n');
            const size_t line_begin = newline == std::string::npos ? 0 : newline + 1;
            if ((line_begin > 0 || at_line_begin_) &&
                line_begin + spaces_in(text, line_begin) == text.size()) {
                text.resize(line_begin);
            }
        }
        if (!text.empty()) add(Token::Kind::Data, std::move(text));
    }

    // What follows the end of a block or comment goes with it: white space after "-", else one line
    // end unless "+".
    void skip_after_end(char sign, bool trims_line_end) {
        const size_t end = at_;
        if (sign == '-') {
            advance(spaces_at(at_));
        } else if (sign != '+' && trims_line_end && next_is("\n")) {
            advance(1);
        }
        at_line_begin_ = at_ > end && source_[at_ - 1] == '\n';
    }

    void skip_comment() {
        const size_t end = source_.find("#}", at_);
        if (end == std::string::npos) fail_here("a comment does not end");
        const char sign = end > at_ ? sign_at(end - 1) : '\0';
        advance(end + 2 - at_);
        skip_after_end(sign, true);
    }

    // Size of "raw %}" with white space around the word, at the current place; the end sign of it.
    struct RawTag {
        size_t size;
        char sign;
    };
    std::optional<RawTag> raw_tag_size(std::string_view word) const {
        size_t at = at_ + spaces_at(at_);
        if (!std::string_view(source_).substr(at).starts_with(word)) return std::nullopt;
        at += word.size();
        at += spaces_at(at);
        const char sign = sign_at(at);
        if (sign == '+' && word == "raw") return std::nullopt;
        if (sign) ++at;
        if (!std::string_view(source_).substr(at).starts_with("%}")) return std::nullopt;
        return RawTag{at + 2 - at_, sign};
    }

    void read_raw(const RawTag& begin_tag) {
        advance(begin_tag.size);
        skip_after_end(begin_tag.sign, false);
        const size_t text_begin = at_;
        for (size_t at = at_;; ++at) {
            at = source_.find("{%", at);
            if (at == std::string::npos) fail_here("a raw block does not end");
            const char sign = sign_at(at + 2);
            const size_t kept = at_;
            at_ = at + (sign ? 3 : 2);
            const auto end_tag = raw_tag_size("endraw");
            at_ = kept;
            if (!end_tag) continue;
            add_stripped_data(source_.substr(text_begin, at - text_begin), sign, true);
            advance(at + (sign ? 3 : 2) + end_tag->size - at_);
            return skip_after_end(end_tag->sign, true);
        }
    }

    // The words of a statement or an expression, up to its end.
    void read_tag(bool is_variable) {
        const std::string_view end = is_variable ? "}}" : "%}";
        open_brackets_.clear();
        while (true) {
            advance(spaces_at(at_));
            if (at_ == source_.size()) fail_here("the template ends inside a tag");
            if (open_brackets_.empty()) {
                const char sign = sign_at(at_);
                const bool signed_end = sign && rest().substr(1).starts_with(end);
                const bool allowed = sign == '-' || !is_variable;
                if (next_is(end) || (signed_end && allowed)) {
                    add(is_variable ? Token::Kind::VariableEnd : Token::Kind::BlockEnd);
                    advance(signed_end ? 3 : 2);
                    return skip_after_end(signed_end ? sign : '\0', !is_variable);
                }
            }
            read_word();
        }
    }

    void read_word() {
        const char c = source_[at_];
        if (is_digit(c)) return read_number();
        if (is_name_start(c)) return read_name();
        if (c == '\'' || c == '"') return read_string(c);
        read_operator();
    }

    size_t digits_at(size_t at) const {
        const size_t begin = at;
        while (at < source_.size() &&
               (is_digit(source_[at]) || (source_[at] == '_' && at > begin &&
                                          at + 1 < source_.size() && is_digit(source_[at + 1])))) {
            ++at;
        }
        return at - begin;
    }

    // Length of "1.5", "1e3" or "1.5e-3" here; 0 if the number is an integer.
    size_t float_size() const {
        if (at_ > 0 && source_[at_ - 1] == '.') return 0;
        const auto at_byte = [&](size_t at) { return at < source_.size() ? source_[at] : '\0'; };
        size_t at = at_ + digits_at(at_);
        bool is_float = false;
        if (at_byte(at) == '.' && digits_at(at + 1) > 0) {
            at += 1 + digits_at(at + 1);
            is_float = true;
        }
        if (at_byte(at) == 'e' || at_byte(at) == 'E') {
            size_t exponent = at + 1;
            if (at_byte(exponent) == '+' || at_byte(exponent) == '-') ++exponent;
            if (digits_at(exponent) > 0) {
                at = exponent + digits_at(exponent);
                is_float = true;
            }
        }
        return is_float ? at - at_ : 0;
    }

    void read_number() {
        if (const size_t size = float_size()) {
            Token token{.kind = Token::Kind::Float, .line = line_};
            token.real = parse_float(rest().substr(0, size)).value_or(0);
            tokens_.push_back(std::move(token));
            return advance(size);
        }
        const size_t size = integer_size();
        Token token{.kind = Token::Kind::Integer, .line = line_};
        token.integer = integer_of(rest().substr(0, size));
        tokens_.push_back(std::move(token));
        advance(size);
    }

    int64_t integer_of(std::string_view digits) const {
        std::optional<int64_t> value;
        try {
            value = parse_integer(digits, 0);
        } catch (const Error& error) {
            fail(error.code(), "line {}: {}", line_, error.what());
        }
        if (!value) {
            fail(ErrorCode::Corrupt, "line {}: found {}, expected an integer", line_,
                 io::printable(digits, 40));
        }
        return *value;
    }

    size_t integer_size() const {
        if (source_[at_] != '0') return digits_at(at_);
        const char letter = at_ + 1 < source_.size() ? source_[at_ + 1] : '\0';
        const std::string_view digits = letter == 'x' || letter == 'X'   ? "0123456789abcdefABCDEF"
                                        : letter == 'o' || letter == 'O' ? "01234567"
                                        : letter == 'b' || letter == 'B' ? "01"
                                                                         : "";
        if (digits.empty()) {
            const size_t end = rest().find_first_not_of('0');
            return end == std::string_view::npos ? rest().size() : end;
        }
        const size_t end = rest().substr(2).find_first_not_of(digits);
        const size_t count = end == std::string_view::npos ? rest().size() - 2 : end;
        return count > 0 ? count + 2 : 1;
    }

    void read_name() {
        size_t size = 0;
        while (size < rest().size() && (is_name_start(rest()[size]) || is_digit(rest()[size]))) {
            ++size;
        }
        if (size > limits::kTemplateNameBytes) {
            fail(ErrorCode::Unsupported, "line {}: a name is {} bytes long, {} are allowed", line_,
                 size, limits::kTemplateNameBytes);
        }
        add(Token::Kind::Name, std::string(rest().substr(0, size)));
        advance(size);
    }

    void read_string(char quote) {
        size_t end = at_ + 1;
        while (end < source_.size() && source_[end] != quote) end += source_[end] == '\\' ? 2 : 1;
        if (end >= source_.size()) fail_here("a string does not end");
        const std::string_view inside = rest().substr(1, end - at_ - 1);
        add(Token::Kind::String, unescaped(inside, line_));
        advance(end + 1 - at_);
    }

    void read_operator() {
        static constexpr std::array<std::string_view, 26> kOperators = {
            "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[",
            "]",  "(",  ")",  "{",  "}",  ">",  "<", "=", ".", ":", "|", ",", ";"};
        for (std::string_view sign : kOperators) {
            if (!next_is(sign)) continue;
            balance(sign);
            add(Token::Kind::Operator, std::string(sign));
            return advance(sign.size());
        }
        const Character c = character_at(source_, at_);
        if (is_word(c.code)) {
            fail(ErrorCode::Unsupported,
                 "line {}: names with letters beyond ASCII are not supported", line_);
        }
        fail(ErrorCode::Corrupt,
             "line {}: found {} in a tag, expected a name, a value or an operator", line_,
             io::printable(rest().substr(0, c.end - at_), 40));
    }

    void balance(std::string_view sign) {
        if (sign == "(") open_brackets_ += ')';
        if (sign == "[") open_brackets_ += ']';
        if (sign == "{") open_brackets_ += '}';
        if (sign != ")" && sign != "]" && sign != "}") return;
        if (open_brackets_.empty() || open_brackets_.back() != sign[0]) {
            const std::string_view expected =
                open_brackets_.empty()
                    ? "no bracket, for none is open"
                    : std::string_view(open_brackets_).substr(open_brackets_.size() - 1);
            fail(ErrorCode::Corrupt, "line {}: found {}, expected {}", line_, sign, expected);
        }
        open_brackets_.pop_back();
    }

    std::string source_;
    size_t at_ = 0;
    int line_ = 1;
    bool at_line_begin_ = true;
    std::string open_brackets_;  // what closes them
    std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> tokenize(std::string_view source) {
    return Lexer(source).run();
}

}  // namespace quarot::jinja
