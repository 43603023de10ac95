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

// The test's name is for messages: some tests share a function.
using Test = bool (*)(Runtime&, const char* called, const Value&, const Arguments&);
using Question = bool (*)(const Value&);

template <Question Ask>
bool about_value(Runtime&, const char* called, const Value& value, const Arguments& args) {
    const Parameters p(called, args, {});
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

bool odd(Runtime& runtime, const char* called, const Value& value, const Arguments& args) {
    const Parameters p(called, args, {});
    return remainder_is(runtime, value, 2, 1);
}

bool even(Runtime& runtime, const char* called, const Value& value, const Arguments& args) {
    const Parameters p(called, args, {});
    return remainder_is(runtime, value, 2, 0);
}

bool divisibleby(Runtime& runtime, const char* called, const Value& value, const Arguments& args) {
    const Parameters p(called, args, {"num"}, 1);
    return equal(runtime.budget, compute(runtime.budget, Operator::Modulo, value, p[0]),
                 int64_t{0});
}

bool same_as(Runtime& runtime, const char* called, const Value& value, const Arguments& args) {
    const Parameters p(called, args, {"other"}, 1);
    const bool single = value.is_none() || value.is<bool>();
    if (!single && !p[0].is_none() && !p[0].is<bool>()) {
        fail(ErrorCode::Unsupported, "the test sameas knows only true, false and none");
    }
    return value.data().index() == p[0].data().index() && equal(runtime.budget, value, p[0]);
}

bool is_iterable_test(Runtime&, const char* called, const Value& value, const Arguments& args) {
    const Parameters p(called, args, {});
    return is_iterable(value);
}

template <Comparison Wanted>
bool is_compared(Runtime& runtime, const char* called, const Value& a, const Arguments& args) {
    const Parameters p(called, args, {"other"}, 1);
    return compares(runtime.budget, Wanted, a, p[0]);
}

// All cased characters of its text are of the case.
template <bool (*Wanted)(int32_t)>
bool has_case(Runtime& runtime, const char* called, const Value& value, const Arguments& args) {
    const Parameters p(called, args, {});
    const Text text = str(runtime.budget, value);
    bool any = false;
    for (size_t at = 0; at < text.size();) {
        const Character c = character_at(text.bytes(), at);
        if (is_cased(c.code) && !Wanted(c.code)) return false;
        any = any || Wanted(c.code);
        at = c.end;
    }
    return any;
}

bool is_filter_name(Runtime&, const char* called, const Value& value, const Arguments& args) {
    const Parameters p(called, args, {});
    return value.text() && find_filter(value.text()->bytes());
}

bool is_test_name(Runtime&, const char* called, const Value& value, const Arguments& args) {
    const Parameters p(called, args, {});
    return value.text() && has_test(value.text()->bytes());
}

struct NamedTest {
    const char* name;
    Test test;
};

constexpr NamedTest kTests[] = {
    {"!=", is_compared<Comparison::Unequal>},
    {"<", is_compared<Comparison::Less>},
    {"<=", is_compared<Comparison::LessOrEqual>},
    {"==", is_compared<Comparison::Equal>},
    {">", is_compared<Comparison::Greater>},
    {">=", is_compared<Comparison::GreaterOrEqual>},
    {"boolean", about_value<is_boolean>},
    {"callable", about_value<is_callable>},
    {"defined", about_value<is_defined>},
    {"divisibleby", divisibleby},
    {"eq", is_compared<Comparison::Equal>},
    {"equalto", is_compared<Comparison::Equal>},
    {"escaped", about_value<is_escaped>},
    {"even", even},
    {"false", about_value<is_exactly_false>},
    {"filter", is_filter_name},
    {"float", about_value<is_float>},
    {"ge", is_compared<Comparison::GreaterOrEqual>},
    {"greaterthan", is_compared<Comparison::Greater>},
    {"gt", is_compared<Comparison::Greater>},
    {"in", is_compared<Comparison::In>},
    {"integer", about_value<is_integer>},
    {"iterable", is_iterable_test},
    {"le", is_compared<Comparison::LessOrEqual>},
    {"lessthan", is_compared<Comparison::Less>},
    {"lower", has_case<is_lower>},
    {"lt", is_compared<Comparison::Less>},
    {"mapping", about_value<is_mapping>},
    {"ne", is_compared<Comparison::Unequal>},
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

const NamedTest* find_test(const std::string& name) {
    const auto* found = std::find_if(std::begin(kTests), std::end(kTests),
                                     [&](const NamedTest& entry) { return name == entry.name; });
    return found == std::end(kTests) ? nullptr : found;
}

}  // namespace

bool has_test(const std::string& name) {
    return find_test(name) != nullptr;
}

bool passes_test(Runtime& runtime, const std::string& name, const Value& value,
                 const Arguments& args) {
    runtime.budget.step();
    const NamedTest* test = find_test(name);
    if (!test) {
        fail(ErrorCode::Unsupported, "the test {} is not supported", io::printable(name, 40));
    }
    return test->test(runtime, test->name, value, args);
}

}  // namespace quarot::jinja
