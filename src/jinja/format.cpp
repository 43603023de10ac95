// How do %-directives and {}-fields turn into text?
#include "jinja/format.h"

#include <algorithm>
#include <cstdio>
#include <map>
#include <string_view>

#include "core/checked_math.h"
#include "core/error.h"
#include "jinja/limits.h"
#include "jinja/numbers.h"
#include "jinja/spell.h"
#include "jinja/unicode.h"

namespace quarot::jinja {
namespace {

struct Directive {
    std::optional<std::string> name;
    bool left = false;
    bool plus = false;
    bool blank = false;
    bool zero = false;
    bool alternate = false;
    int64_t width = 0;
    std::optional<int64_t> precision;
    char kind = 's';
};

class DirectiveReader {
  public:
    // at: just after the percent sign.
    DirectiveReader(std::string_view pattern, size_t at) : pattern_(pattern), at_(at) {}

    Directive read() {
        Directive d;
        if (peek() == '(') {
            const size_t close = pattern_.find(')', at_);
            if (close == std::string_view::npos) fail_incomplete();
            d.name = std::string(pattern_.substr(at_ + 1, close - at_ - 1));
            at_ = close + 1;
        }
        while (read_flag(d)) ++at_;
        d.width = read_number(limits::kTemplateWidth);
        if (peek() == '.') {
            ++at_;
            d.precision = read_number(limits::kTemplatePrecision);
        }
        while (peek() == 'l' || peek() == 'h' || peek() == 'L') ++at_;
        d.kind = peek();
        if (at_ == pattern_.size()) fail_incomplete();
        ++at_;
        return d;
    }
    size_t at() const { return at_; }

  private:
    char peek() const { return at_ < pattern_.size() ? pattern_[at_] : '\0'; }

    [[noreturn]] void fail_incomplete() const {
        fail(ErrorCode::Corrupt, "a format pattern ends inside a directive");
    }

    bool read_flag(Directive& d) {
        switch (peek()) {
            case '-':
                return d.left = true;
            case '+':
                return d.plus = true;
            case ' ':
                return d.blank = true;
            case '0':
                return d.zero = true;
            case '#':
                return d.alternate = true;
            default:
                return false;
        }
    }

    int64_t read_number(int64_t max) {
        if (peek() == '*') fail(ErrorCode::Unsupported, "the width * of a format is not supported");
        int64_t number = 0;
        for (; peek() >= '0' && peek() <= '9'; ++at_) {
            number = number * 10 + (peek() - '0');
            if (number > max) fail(ErrorCode::Corrupt, "a format is wider than {}", max);
        }
        return number;
    }

    std::string_view pattern_;
    size_t at_;
};

std::string sign_of(const Directive& d, bool negative) {
    return negative ? "-" : d.plus ? "+" : d.blank ? " " : "";
}

std::string integer_digits(const Directive& d, int64_t whole) {
    const auto magnitude =
        whole < 0 ? 0 - static_cast<uint64_t>(whole) : static_cast<uint64_t>(whole);
    std::string digits;
    std::string prefix;
    switch (d.kind) {
        case 'x':
            digits = fmt::format("{:x}", magnitude);
            prefix = "0x";
            break;
        case 'X':
            digits = fmt::format("{:X}", magnitude);
            prefix = "0X";
            break;
        case 'o':
            digits = fmt::format("{:o}", magnitude);
            prefix = "0o";
            break;
        default:
            digits = fmt::format("{}", magnitude);
    }
    const auto least = static_cast<size_t>(d.precision.value_or(0));
    if (digits.size() < least) digits.insert(0, least - digits.size(), '0');
    return (d.alternate ? prefix : "") + digits;
}

std::string float_digits(const Directive& d, double number) {
    const char pattern[] = {'%',
                            d.alternate ? '#' : '.',
                            d.alternate ? '.' : '*',
                            d.alternate ? '*' : d.kind,
                            d.alternate ? d.kind : '\0',
                            '\0'};
    const int precision = static_cast<int>(d.precision.value_or(6));
    const double magnitude = std::signbit(number) ? -number : number;
    char buffer[320 + limits::kTemplatePrecision];  // 309 digits, a point and the precision
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    std::snprintf(buffer, sizeof buffer, pattern, precision, magnitude);
#pragma GCC diagnostic pop
    return buffer;
}

// Fills to the width: zeros go between the sign and the digits.
Text padded(Budget& budget, const Directive& d, const std::string& sign, const Text& body) {
    const size_t have = sign.size() + count_characters(body.bytes());
    const size_t missing =
        static_cast<size_t>(std::max<int64_t>(0, d.width - static_cast<int64_t>(have)));
    budget.allocate(missing);
    const bool numeric = d.kind != 's' && d.kind != 'r' && d.kind != 'c';
    Text out;
    if (!d.left && !(d.zero && numeric)) out.append(std::string(missing, ' '));
    out.append(sign);
    if (!d.left && d.zero && numeric) out.append(std::string(missing, '0'));
    out.append(body);
    if (d.left) out.append(std::string(missing, ' '));
    return out;
}

int64_t whole_of(const Directive& d, const Value& value) {
    if (const auto whole = value.integer()) return *whole;
    const double* real = value.get_if<double>();
    const bool takes_floats = d.kind == 'd' || d.kind == 'i' || d.kind == 'u';
    if (!real || !takes_floats) {
        fail(ErrorCode::Corrupt, "%{} takes a number, not a {}", d.kind, value.type_name());
    }
    return whole_part(*real);
}

Text shortened(const Text& text, const Directive& d) {
    if (!d.precision) return text;
    return text.slice(0, byte_of_character(text.bytes(), static_cast<size_t>(*d.precision)));
}

Text character_of(Budget& budget, const Value& value) {
    if (const auto code = value.integer()) {
        if (*code < 0 || *code > 0x10FFFF || (*code >= 0xD800 && *code < 0xE000)) {
            fail(ErrorCode::Corrupt, "%c takes a character, not {}", *code);
        }
        std::string bytes;
        append_utf8(bytes, static_cast<char32_t>(*code));
        return Text(bytes);
    }
    if (!value.text() || count_characters(value.text()->bytes()) != 1) {
        fail(ErrorCode::Corrupt, "%c takes a character, not a {}", value.type_name());
    }
    return str(budget, value);
}

Text formatted(Budget& budget, const Directive& d, const Value& value) {
    switch (d.kind) {
        case 's':
            return padded(budget, d, "", shortened(str(budget, value), d));
        case 'r':
            return padded(budget, d, "", shortened(repr(budget, value), d));
        case 'c':
            return padded(budget, d, "", character_of(budget, value));
        case 'd':
        case 'i':
        case 'u':
        case 'x':
        case 'X':
        case 'o': {
            const int64_t whole = whole_of(d, value);
            return padded(budget, d, sign_of(d, whole < 0), Text(integer_digits(d, whole)));
        }
        case 'e':
        case 'E':
        case 'f':
        case 'F':
        case 'g':
        case 'G': {
            const auto number = value.number();
            if (!number) {
                fail(ErrorCode::Corrupt, "%{} takes a number, not a {}", d.kind, value.type_name());
            }
            const bool negative = std::signbit(*number) && !std::isnan(*number);
            return padded(budget, d, sign_of(d, negative), Text(float_digits(d, *number)));
        }
        case 'a':
            fail(ErrorCode::Unsupported, "the format directive %a is not supported");
        default:
            fail(ErrorCode::Corrupt, "there is no format directive %{}", d.kind);
    }
}

// What a pattern becomes can be far longer than the pattern.
void append_paid(Budget& budget, Text& out, const Text& part) {
    budget.allocate(part.memory());
    out.append(part);
}

// Python checks for left-over values only what cannot hold values by name or index.
bool may_have_names(const Value& names) {
    const Sequence* list = names.sequence();
    return names.dict() || names.is_undefined() || names.is<Range>() ||
           (list && list->flavor == Sequence::Flavor::List);
}

}  // namespace

Value format_percent(Budget& budget, const Text& pattern, const std::vector<Value>& values,
                     const Value& names) {
    const std::string_view bytes = pattern.bytes();
    budget.scan(bytes.size());
    Text out;
    size_t next = 0;
    bool by_name = false;
    for (size_t at = 0; at < bytes.size();) {
        const size_t percent = std::min(bytes.find('%', at), bytes.size());
        out.append(pattern, at, percent);
        if (percent == bytes.size()) break;
        budget.step();
        DirectiveReader reader(bytes, percent + 1);
        const Directive d = reader.read();
        at = reader.at();
        if (d.kind == '%') {
            out.append("%");
        } else if (d.name) {
            by_name = true;
            if (!names.dict()) fail(ErrorCode::Corrupt, "a format with names takes a dict");
            budget.scan(d.name->size());
            const Value* value = names.dict()->find(*d.name);
            if (!value) fail(ErrorCode::Corrupt, "a format names {}, which is not there", *d.name);
            append_paid(budget, out, formatted(budget, d, *value));
        } else {
            if (next == values.size()) {
                fail(ErrorCode::Corrupt, "a format has too few values: {}, and directives for more",
                     values.size());
            }
            append_paid(budget, out, formatted(budget, d, values[next++]));
        }
    }
    if (next < values.size() && !by_name && !may_have_names(names)) {
        fail(ErrorCode::Corrupt, "a format has too many values: {} for {} directives",
             values.size(), next);
    }
    return make_text(budget, std::move(out));
}

namespace {

// The values that stand for what is between { and }.
class Fields {
  public:
    Fields(Budget& budget, const Arguments& args) : budget_(budget), args_(args) {
        for (const auto& [name, value] : args.named) {
            budget_.step();
            budget_.scan(name.size());
            named_.emplace(name.bytes(), &value);
        }
    }

    const Value& find(const std::string& field) {
        budget_.scan(field.size());
        if (field.find_first_of(".[!:") != std::string::npos) {
            fail(ErrorCode::Unsupported, "the format field {{{}}} is not supported", field);
        }
        const bool is_number =
            field.find_first_not_of("0123456789") == std::string::npos && field.size() < 10;
        if (is_number) return by_position(field.empty() ? next_++ : std::stoul(field));
        const auto found = named_.find(field);
        if (found == named_.end()) {
            fail(ErrorCode::Corrupt, "a format names {}, which is not there", field);
        }
        return *found->second;
    }

  private:
    const Value& by_position(size_t index) const {
        if (index >= args_.positional.size()) {
            fail(ErrorCode::Corrupt, "a format has no value number {}", index);
        }
        return args_.positional[index];
    }

    Budget& budget_;
    const Arguments& args_;
    std::map<std::string_view, const Value*> named_;
    size_t next_ = 0;
};

}  // namespace

Value format_braces(Budget& budget, const Text& pattern, const Arguments& args) {
    const std::string_view bytes = pattern.bytes();
    budget.scan(bytes.size());
    Text out;
    Fields fields(budget, args);
    for (size_t at = 0; at < bytes.size();) {
        const size_t brace = std::min(bytes.find_first_of("{}", at), bytes.size());
        out.append(pattern, at, brace);
        if (brace == bytes.size()) break;
        budget.step();
        if (brace + 1 < bytes.size() && bytes[brace + 1] == bytes[brace]) {
            out.append(pattern, brace, brace + 1);
            at = brace + 2;
            continue;
        }
        const size_t close = bytes.find('}', brace);
        if (bytes[brace] == '}' || close == std::string_view::npos) {
            fail(ErrorCode::Corrupt, "a format has a single brace");
        }
        const std::string field(bytes.substr(brace + 1, close - brace - 1));
        const Text value = str(budget, fields.find(field));
        append_paid(budget, out, value);
        at = close + 1;
    }
    return make_text(budget, std::move(out));
}

}  // namespace quarot::jinja
