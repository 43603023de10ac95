// What do the filters give of numbers, of dicts and of any value?
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "core/error.h"
#include "io/text.h"
#include "jinja/access.h"
#include "jinja/arithmetic.h"
#include "jinja/compare.h"
#include "jinja/filters.h"
#include "jinja/limits.h"
#include "jinja/methods.h"
#include "jinja/numbers.h"
#include "jinja/parameters.h"
#include "jinja/spell.h"

namespace quarot::jinja {
namespace {

[[noreturn]] void fail_undefined(const Value& input, const char* filter) {
    const auto reason = input.get_if<Undefined>()->reason;
    fail(ErrorCode::Corrupt, "{} of an undefined value: {}", filter,
         reason ? *reason : "nothing of that name");
}

Value absolute(Runtime&, const char* called, const Value& input, const Arguments& args) {
    const Parameters p(called, args, {});
    if (const double* real = input.get_if<double>()) return std::abs(*real);
    const auto whole = input.integer();
    if (!whole) fail(ErrorCode::Corrupt, "abs takes a number, not a {}", input.type_name());
    return *whole < 0 ? negated(*whole) : Value(*whole);
}

std::optional<int64_t> integer_of_text(const std::string& text, int64_t base) {
    if (base == 0 || (base >= 2 && base <= 36)) {
        if (const auto whole = parse_integer(text, static_cast<int>(base))) return whole;
    }
    const auto real = parse_float(text);
    if (!real || !std::isfinite(*real)) return std::nullopt;
    return whole_part(*real);
}

Value to_int(Runtime& runtime, const char* called, const Value& input, const Arguments& args) {
    const Parameters p(called, args, {"default", "base"});
    if (input.is_undefined()) fail_undefined(input, called);
    if (const auto whole = input.integer()) return *whole;
    if (const double* real = input.get_if<double>()) {
        if (!std::isnan(*real)) return whole_part(*real);
    }
    if (const Text* text = input.text()) {
        runtime.budget.scan(text->size());
        if (const auto whole = integer_of_text(text->bytes(), p.integer(1, 10))) return *whole;
    }
    return p.has(0) ? p[0] : Value(int64_t{0});
}

Value to_float(Runtime& runtime, const char* called, const Value& input, const Arguments& args) {
    const Parameters p(called, args, {"default"});
    if (input.is_undefined()) fail_undefined(input, called);
    if (const auto number = input.number()) return *number;
    if (const Text* text = input.text()) {
        runtime.budget.scan(text->size());
        if (const auto number = parse_float(text->bytes())) return *number;
    }
    return p.has(0) ? p[0] : Value(0.0);
}

// To a power of ten: of the decimal digits before the point all are printed but the last ones.
double rounded_before_point(double number, int64_t digits) {
    char buffer[400];
    const double magnitude = std::abs(number);
    const int whole_digits = std::snprintf(buffer, sizeof buffer, "%.0f", std::trunc(magnitude));
    const int kept = whole_digits + static_cast<int>(digits);
    if (kept > 0) {
        std::snprintf(buffer, sizeof buffer, "%.*e", kept - 1, number);
        return std::strtod(buffer, nullptr);
    }
    const double unit = std::pow(10.0, static_cast<double>(-digits));
    return std::copysign(kept == 0 && magnitude > unit / 2 ? unit : 0.0, number);
}

// The nearest to the number's exact value, halves to the even neighbour.
double rounded(double number, int64_t digits) {
    if (!std::isfinite(number)) return number;
    if (digits < 0) return rounded_before_point(number, digits);
    char buffer[400];
    std::snprintf(buffer, sizeof buffer, "%.*f", static_cast<int>(digits), number);
    return std::strtod(buffer, nullptr);
}

// To a power of ten, halves to the even neighbour.
int64_t rounded_integer(int64_t number, int64_t digits) {
    if (digits >= 0) return number;
    int64_t scale = 1;
    for (int64_t i = 0; i < -digits; ++i) scale *= 10;
    const int64_t rest = ((number % scale) + scale) % scale;
    const int64_t below = number / scale - (number % scale < 0 ? 1 : 0);  // in units of scale
    const bool up = rest > scale / 2 || (rest == scale / 2 && below % 2 != 0);
    int64_t result = 0;
    if (__builtin_add_overflow(number, up ? scale - rest : -rest, &result)) {
        fail(ErrorCode::Unsupported, "integers above 64 bits are not supported");
    }
    return result;
}

Value round(Runtime& runtime, const char* called, const Value& input, const Arguments& args) {
    const Parameters p(called, args, {"precision", "method"});
    const std::string method = p.has(1) ? p.text(1).bytes() : "common";
    const int64_t digits = p.integer(0, 0);
    if (digits > limits::kTemplateRoundedDigits || digits < -limits::kTemplateRoundedDigits) {
        fail(ErrorCode::Unsupported, "round to {} digits is not supported, only up to {}", digits,
             limits::kTemplateRoundedDigits);
    }
    if (!input.number()) {
        fail(ErrorCode::Corrupt, "round takes a number, not a {}", input.type_name());
    }
    if (method == "common") {
        if (const double* real = input.get_if<double>()) return rounded(*real, digits);
        return rounded_integer(*input.integer(), digits);
    }
    if (method != "ceil" && method != "floor") {
        fail(ErrorCode::Corrupt, "the method of round is \"{}\", expected common, ceil or floor",
             io::printable(method, 40));
    }
    const Value scale = compute(runtime.budget, Operator::Power, int64_t{10}, Value(digits));
    const Value scaled = compute(runtime.budget, Operator::Multiply, input, scale);
    const Value whole = scaled.is<int64_t>() ? scaled
                        : method == "ceil"   ? Value(whole_part(std::ceil(*scaled.number())))
                                             : Value(whole_part(std::floor(*scaled.number())));
    return compute(runtime.budget, Operator::Divide, whole, scale);
}

Value default_value(Runtime& runtime, const char* called, const Value& input,
                    const Arguments& args) {
    const Parameters p(called, args, {"default_value", "boolean"});
    const bool replace = input.is_undefined() || (p.flag(1, false) && !is_true(input));
    if (!replace) return input;
    return p.has(0) ? p[0] : make_text(runtime.budget, std::string());
}

Value items(Runtime& runtime, const char* called, const Value& input, const Arguments& args) {
    const Parameters p(called, args, {});
    std::vector<Value> out;
    if (!input.is_undefined()) {
        if (!input.dict()) {
            fail(ErrorCode::Corrupt, "items takes a dict, not a {}", input.type_name());
        }
        for (const auto& [key, value] : input.dict()->entries()) {
            out.push_back(make_tuple(runtime.budget, {key, value}));
        }
    }
    return make_iterator(runtime.budget, std::move(out));
}

// The attribute and never the member of a dict.
Value attribute(Runtime& runtime, const char* called, const Value& input, const Arguments& args) {
    const Parameters p(called, args, {"name"}, 1);
    const std::string& name = p.text(0).bytes();
    runtime.budget.scan(name.size());
    if (!input.dict()) return attribute_of(runtime, input, name);
    if (auto method = method_of(runtime, input, name)) return *method;
    return make_undefined(runtime.budget, "a dict has no attribute " + io::printable(name, 40));
}

std::optional<Text> json_indent(const Value& indent) {
    if (indent.is_undefined() || indent.is_none()) return std::nullopt;
    if (const Text* text = indent.text()) return *text;
    const auto spaces = indent.integer();
    if (!spaces) {
        fail(ErrorCode::Corrupt, "tojson takes an integer for indent, not a {}",
             indent.type_name());
    }
    if (*spaces > limits::kTemplateIndent) {
        fail(ErrorCode::Corrupt, "tojson indents by {} spaces at most, not {}",
             limits::kTemplateIndent, *spaces);
    }
    return Text(std::string(static_cast<size_t>(std::max<int64_t>(0, *spaces)), ' '));
}

Value tojson(Runtime& runtime, const char* called, const Value& input, const Arguments& args) {
    const Parameters p(called, args, {"ensure_ascii", "indent", "separators", "sort_keys"});
    JsonStyle style;
    style.ensure_ascii = p.flag(0, false);
    style.indent = json_indent(p[1]);
    style.sort_keys = p.flag(3, false);
    if (style.indent) style.between_items = Text(",");  // no space before a line end
    if (p.has(2) && !p[2].is_none()) {
        const SequencePtr pair = iterate(runtime.budget, p[2]);
        if (pair->items.size() != 2 || !pair->items[0].text() || !pair->items[1].text()) {
            fail(ErrorCode::Corrupt, "{} takes two strings for separators, not {} values{}", called,
                 pair->items.size(), pair->items.size() == 2 ? " of other types" : "");
        }
        style.between_items = *pair->items[0].text();
        style.after_key = *pair->items[1].text();
    }
    return make_text(runtime.budget, json_text(runtime.budget, input, style));
}

constexpr NamedFilter kValueFilters[] = {
    {"abs", absolute},          {"attr", attribute}, {"d", default_value},
    {"default", default_value}, {"float", to_float}, {"int", to_int},
    {"items", items},           {"round", round},    {"tojson", tojson},
};

}  // namespace

std::span<const NamedFilter> value_filters() {
    return kValueFilters;
}

}  // namespace quarot::jinja
