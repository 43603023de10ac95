// What does each test after `is` ask?
#include "jinja/value_tests.h"

#include <algorithm>
#include <iterator>

#include "core/error.h"
#include "io/text.h"
#include "jinja/arithmetic.h"
#include "jinja/compare.h"
#include "jinja/filters.h"
#include "jinja/parameters.h"
#include "jinja/spell.h"
#include "jinja/unicode.h"

namespace quarot::jinja {
namespace {

using Test = bool (*)(Runtime&, const Value&, const Arguments&);
using Question = bool (*)(const Value&);

template <Question Ask>
bool about_value(Runtime&, const Value& value, const Arguments& args) {
    const Parameters p("a test", args, {});
    return Ask(value);
}

bool is_defined(const Value& v) {
    return !v.is_undefined();
}
bool is_undefined(const Value& v) {
    return v.is_undefined();
}
bool is_none(const Value& v) {
    return v.is_none();
}
bool is_boolean(const Value& v) {
    return v.is<bool>();
}
bool is_exactly_true(const Value& v) {
    return v.is<bool>() && is_true(v);
}
bool is_exactly_false(const Value& v) {
    return v.is<bool>() && !is_true(v);
}
bool is_integer(const Value& v) {
    return v.is<int64_t>();
}
bool is_float(const Value& v) {
    return v.is<double>();
}
bool is_number(const Value& v) {
    return v.number().has_value();
}
bool is_string(const Value& v) {
    return v.is_string();
}
bool is_mapping(const Value& v) {
    return v.dict() != nullptr;
}
bool is_callable(const Value& v) {
    // Undefined values and loops have a __call__, too.
    return v.is<std::shared_ptr<const Callable>>() || v.is<std::shared_ptr<Loop>>() ||
           v.is_undefined();
}
bool is_escaped(const Value& v) {
    return v.text() && v.text()->html;
}
bool is_sequence(const Value& v) {
    if (const Sequence* list = v.sequence()) {
        return list->flavor == Sequence::Flavor::List || list->flavor == Sequence::Flavor::Tuple;
    }
    return v.text() || v.dict() || v.is<Range>() || v.is_undefined();
}

bool remainder_is(Runtime& runtime, const Value& value, int64_t divisor, int64_t expected) {
    const Value rest = compute(runtime.budget, Operator::Modulo, value, divisor);
    return equal(runtime.budget, rest, expected);
}

bool odd(Runtime& runtime, const Value& value, const Arguments& args) {
    const Parameters p("odd", args, {});
    return remainder_is(runtime, value, 2, 1);
}

bool even(Runtime& runtime, const Value& value, const Arguments& args) {
    const Parameters p("even", args, {});
    return remainder_is(runtime, value, 2, 0);
}

bool divisibleby(Runtime& runtime, const Value& value, const Arguments& args) {
    const Parameters p("divisibleby", args, {"num"}, 1);
    return equal(runtime.budget, compute(runtime.budget, Operator::Modulo, value, p[0]),
                 int64_t{0});
}

bool same_as(Runtime& runtime, const Value& value, const Arguments& args) {
    const Parameters p("sameas", args, {"other"}, 1);
    const bool single = value.is_none() || value.is<bool>();
    if (!single && !p[0].is_none() && !p[0].is<bool>()) {
        fail(ErrorCode::Unsupported, "the test sameas knows only true, false and none");
    }
    return value.data().index() == p[0].data().index() && equal(runtime.budget, value, p[0]);
}

bool is_iterable_test(Runtime&, const Value& value, const Arguments& args) {
    const Parameters p("iterable", args, {});
    return is_iterable(value);
}

bool in(Runtime& runtime, const Value& value, const Arguments& args) {
    const Parameters p("in", args, {"seq"}, 1);
    return contains(runtime.budget, p[0], value);
}

enum class Order { Equal, Unequal, Less, LessOrEqual, Greater, GreaterOrEqual };

template <Order Wanted>
bool compares(Runtime& runtime, const Value& a, const Arguments& args) {
    const Parameters p("a comparison", args, {"other"}, 1);
    const Value& b = p[0];
    switch (Wanted) {
        case Order::Equal:
            return equal(runtime.budget, a, b);
        case Order::Unequal:
            return !equal(runtime.budget, a, b);
        case Order::Less:
            return less(runtime.budget, a, b);
        case Order::LessOrEqual:
            return less_or_equal(runtime.budget, a, b);
        case Order::Greater:
            return less(runtime.budget, b, a);
        case Order::GreaterOrEqual:
            return less_or_equal(runtime.budget, b, a);
    }
    return false;
}

// All cased characters of its text are of the case.
template <bool (*Wanted)(int32_t)>
bool has_case(Runtime& runtime, const Value& value, const Arguments& args) {
    const Parameters p("a test of case", args, {});
    const Text text = str(runtime.budget, value);
    bool any = false;
    for (size_t at = 0; at < text.size();) {
        const CodePoint c = code_point_at(text.bytes(), at);
        if (is_cased(c.value) && !Wanted(c.value)) return false;
        any = any || Wanted(c.value);
        at += c.bytes;
    }
    return any;
}

bool is_filter_name(Runtime&, const Value& value, const Arguments& args) {
    const Parameters p("filter", args, {});
    return value.text() && find_filter(value.text()->bytes());
}

bool is_test_name(Runtime&, const Value& value, const Arguments& args) {
    const Parameters p("test", args, {});
    return value.text() && has_test(value.text()->bytes());
}

struct NamedTest {
    const char* name;
    Test test;
};

constexpr NamedTest kTests[] = {
    {"!=", compares<Order::Unequal>},
    {"<", compares<Order::Less>},
    {"<=", compares<Order::LessOrEqual>},
    {"==", compares<Order::Equal>},
    {">", compares<Order::Greater>},
    {">=", compares<Order::GreaterOrEqual>},
    {"boolean", about_value<is_boolean>},
    {"callable", about_value<is_callable>},
    {"defined", about_value<is_defined>},
    {"divisibleby", divisibleby},
    {"eq", compares<Order::Equal>},
    {"equalto", compares<Order::Equal>},
    {"escaped", about_value<is_escaped>},
    {"even", even},
    {"false", about_value<is_exactly_false>},
    {"filter", is_filter_name},
    {"float", about_value<is_float>},
    {"ge", compares<Order::GreaterOrEqual>},
    {"greaterthan", compares<Order::Greater>},
    {"gt", compares<Order::Greater>},
    {"in", in},
    {"integer", about_value<is_integer>},
    {"iterable", is_iterable_test},
    {"le", compares<Order::LessOrEqual>},
    {"lessthan", compares<Order::Less>},
    {"lower", has_case<is_lower>},
    {"lt", compares<Order::Less>},
    {"mapping", about_value<is_mapping>},
    {"ne", compares<Order::Unequal>},
    {"none", about_value<is_none>},
    {"number", about_value<is_number>},
    {"odd", odd},
    {"sameas", same_as},
    {"sequence", about_value<is_sequence>},
    {"string", about_value<is_string>},
    {"test", is_test_name},
    {"true", about_value<is_exactly_true>},
    {"undefined", about_value<is_undefined>},
    {"upper", has_case<is_upper>},
};

Test find_test(const std::string& name) {
    const auto* found = std::find_if(std::begin(kTests), std::end(kTests),
                                     [&](const NamedTest& entry) { return name == entry.name; });
    return found == std::end(kTests) ? nullptr : found->test;
}

}  // namespace

bool has_test(const std::string& name) {
    return find_test(name) != nullptr;
}

bool passes_test(Runtime& runtime, const std::string& name, const Value& value,
                 const Arguments& args) {
    runtime.budget.step();
    const Test test = find_test(name);
    if (!test) {
        fail(ErrorCode::Unsupported, "the test {} is not supported", io::printable(name, 40));
    }
    return test(runtime, value, args);
}

}  // namespace quarot::jinja
