// What do + - * / // % ** give for numbers, texts and lists?
#include "jinja/arithmetic.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "core/checked_math.h"
#include "core/error.h"
#include "jinja/format.h"

namespace quarot::jinja {
namespace {

constexpr const char* kSigns[] = {"+", "-", "*", "/", "//", "%", "**"};

[[noreturn]] void fail_types(Operator op, const Value& a, const Value& b) {
    for (const Value* operand : {&a, &b}) {
        const Undefined* missing = operand->get_if<Undefined>();
        if (missing && missing->reason) fail(ErrorCode::Corrupt, "{}", *missing->reason);
    }
    fail(ErrorCode::Corrupt, "{} cannot take a {} and a {}", kSigns[static_cast<int>(op)],
         a.type_name(), b.type_name());
}

int64_t in_64_bits(std::optional<int64_t> result) {
    if (!result) fail(ErrorCode::Unsupported, "integers above 64 bits are not supported");
    return *result;
}

std::optional<int64_t> checked_subtract(int64_t a, int64_t b) {
    int64_t result = 0;
    if (__builtin_sub_overflow(a, b, &result)) return std::nullopt;
    return result;
}

void refuse_zero(bool is_zero) {
    if (is_zero) fail(ErrorCode::Corrupt, "division by zero");
}

// Rounds down, as Python does.
int64_t floor_divide(int64_t a, int64_t b) {
    refuse_zero(b == 0);
    if (b == -1) return in_64_bits(checked_subtract(0, a));
    const int64_t quotient = a / b;
    return a % b != 0 && (a < 0) != (b < 0) ? quotient - 1 : quotient;
}

int64_t modulo(int64_t a, int64_t b) {
    refuse_zero(b == 0);
    if (b == -1) return 0;
    const int64_t rest = a % b;
    return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}

double modulo(double a, double b) {
    refuse_zero(b == 0);
    const double rest = std::fmod(a, b);
    if (rest == 0) return std::copysign(0.0, b);
    return (rest < 0) != (b < 0) ? rest + b : rest;
}

double floor_divide(double a, double b) {
    refuse_zero(b == 0);
    const double quotient = (a - modulo(a, b)) / b;
    if (quotient == 0) return std::copysign(0.0, a / b);
    const double down = std::floor(quotient);
    return quotient - down > 0.5 ? down + 1 : down;
}

double power(double a, double b) {
    if (a == 0 && b < 0) fail(ErrorCode::Corrupt, "zero cannot be raised to a negative power");
    if (a < 0 && std::isfinite(a) && std::isfinite(b) && b != std::floor(b)) {
        fail(ErrorCode::Unsupported, "complex numbers are not supported");
    }
    const double result = std::pow(a, b);
    if (std::isinf(result) && std::isfinite(a) && std::isfinite(b)) {
        fail(ErrorCode::Corrupt, "the power is too large");
    }
    return result;
}

Value integer_power(int64_t base, int64_t exponent) {
    if (exponent < 0) return power(static_cast<double>(base), static_cast<double>(exponent));
    int64_t result = 1;
    while (exponent > 0) {
        if (exponent & 1) result = in_64_bits(checked_mul(result, base));
        exponent >>= 1;
        if (exponent > 0 && base != 0 && base != 1 && base != -1) {
            base = in_64_bits(checked_mul(base, base));
        } else if (exponent > 0 && base == -1) {
            base = 1;
        }
    }
    return result;
}

Value compute_integers(Operator op, int64_t a, int64_t b) {
    switch (op) {
        case Operator::Add:
            return in_64_bits(checked_add(a, b));
        case Operator::Subtract:
            return in_64_bits(checked_subtract(a, b));
        case Operator::Multiply:
            return in_64_bits(checked_mul(a, b));
        case Operator::Divide:
            refuse_zero(b == 0);
            return static_cast<double>(static_cast<long double>(a) / static_cast<long double>(b));
        case Operator::FloorDivide:
            return floor_divide(a, b);
        case Operator::Modulo:
            return modulo(a, b);
        case Operator::Power:
            break;
    }
    return integer_power(a, b);
}

Value compute_floats(Operator op, double a, double b) {
    switch (op) {
        case Operator::Add:
            return a + b;
        case Operator::Subtract:
            return a - b;
        case Operator::Multiply:
            return a * b;
        case Operator::Divide:
            refuse_zero(b == 0);
            return a / b;
        case Operator::FloorDivide:
            return floor_divide(a, b);
        case Operator::Modulo:
            return modulo(a, b);
        case Operator::Power:
            break;
    }
    return power(a, b);
}

bool can_be_joined(const Sequence& a, const Sequence& b) {
    return a.flavor == b.flavor &&
           (a.flavor == Sequence::Flavor::List || a.flavor == Sequence::Flavor::Tuple);
}

Value joined(Budget& budget, const Value& a, const Value& b) {
    if (a.text() && b.text()) {
        if (a.text()->html || b.text()->html) {
            fail(ErrorCode::Unsupported, "an escaped string can only be printed; do it last");
        }
        budget.require(a.text()->memory() + b.text()->memory());
        Text both = *a.text();
        both.append(*b.text());
        return make_text(budget, std::move(both));
    }
    if (!a.sequence() || !b.sequence() || !can_be_joined(*a.sequence(), *b.sequence())) {
        fail_types(Operator::Add, a, b);
    }
    const auto& first = a.sequence()->items;
    const auto& second = b.sequence()->items;
    budget.require((first.size() + second.size()) * sizeof(Value));
    std::vector<Value> items;
    items.reserve(first.size() + second.size());
    items.insert(items.end(), first.begin(), first.end());
    items.insert(items.end(), second.begin(), second.end());
    return make_sequence(budget, a.sequence()->flavor, std::move(items));
}

// By doubling, since a text may be one byte and wanted millions of times.
Text repeated(const Text& text, int64_t n) {
    Text out;
    for (uint64_t bit = std::bit_floor(static_cast<uint64_t>(n)); bit != 0; bit /= 2) {
        out.append(Text(out));
        if ((static_cast<uint64_t>(n) & bit) != 0) out.append(text);
    }
    return out;
}

// Empty if one of them is no repeatable container or the other no count.
std::optional<Value> repeated(Budget& budget, const Value& value, const Value& count) {
    const auto times = count.integer();
    if (!times) return std::nullopt;
    const int64_t n = std::max<int64_t>(0, *times);
    const auto charge = [&](size_t bytes) {
        const auto total = checked_mul(static_cast<int64_t>(bytes), n);
        budget.allocate(total ? static_cast<size_t>(*total) : SIZE_MAX);
    };
    if (const Text* text = value.text()) {
        charge(text->memory());
        return make_text(budget, text->empty() ? Text() : repeated(*text, n));
    }
    const Sequence* list = value.sequence();
    if (!list || !can_be_joined(*list, *list)) return std::nullopt;
    charge(list->items.size() * sizeof(Value));
    std::vector<Value> items;
    items.reserve(list->items.size() * static_cast<size_t>(n));  // growing would take it twice
    for (int64_t i = 0; i < n && !list->items.empty(); ++i) {
        items.insert(items.end(), list->items.begin(), list->items.end());
    }
    return make_sequence(budget, list->flavor, std::move(items));
}

Value percent(Budget& budget, const Text& pattern, const Value& values) {
    const Sequence* list = values.sequence();
    if (list && list->flavor == Sequence::Flavor::Tuple) {
        return format_percent(budget, pattern, list->items, Value::none());
    }
    return format_percent(budget, pattern, {values}, values);
}

}  // namespace

Value compute(Budget& budget, Operator op, const Value& a, const Value& b) {
    if (op == Operator::Modulo && a.text()) return percent(budget, *a.text(), b);
    if (a.is_undefined() || b.is_undefined()) fail_types(op, a, b);
    const auto i = a.integer();
    const auto j = b.integer();
    if (i && j) return compute_integers(op, *i, *j);
    const auto x = a.number();
    const auto y = b.number();
    if (x && y) return compute_floats(op, *x, *y);
    if (op == Operator::Add) return joined(budget, a, b);
    if (op == Operator::Multiply) {
        if (auto result = repeated(budget, a, b)) return *result;
        if (auto result = repeated(budget, b, a)) return *result;
    }
    fail_types(op, a, b);
}

Value negated(const Value& value) {
    if (const auto whole = value.integer()) return in_64_bits(checked_subtract(0, *whole));
    if (const double* real = value.get_if<double>()) return -*real;
    fail(ErrorCode::Corrupt, "- cannot take a {}", value.type_name());
}

Value unary_plus(const Value& value) {
    if (const auto whole = value.integer()) return *whole;
    if (value.is<double>()) return value;
    fail(ErrorCode::Corrupt, "+ cannot take a {}", value.type_name());
}

}  // namespace quarot::jinja
