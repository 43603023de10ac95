// What is the value of an expression?
#include <fmt/format.h>

#include "core/error.h"
#include "jinja/access.h"
#include "jinja/compare.h"
#include "jinja/filters.h"
#include "jinja/interpreter.h"
#include "jinja/spell.h"
#include "jinja/text_tools.h"
#include "jinja/value_tests.h"

namespace quarot::jinja {

Value Interpreter::evaluate(const Expression& expression) {
    const Nesting nesting(runtime_.budget);
    runtime_.budget.step();
    line_ = expression.line;
    switch (expression.kind) {
        case Expression::Kind::Constant:
            return expression.constant;
        case Expression::Kind::Name:
            return evaluate_name(expression);
        case Expression::Kind::List:
        case Expression::Kind::Tuple:
            return evaluate_items(expression);
        case Expression::Kind::Dict:
            return evaluate_dict(expression);
        case Expression::Kind::Arithmetic:
            return evaluate_arithmetic(expression);
        case Expression::Kind::Concat:
            return evaluate_concat(expression);
        case Expression::Kind::Compare:
            return evaluate_compare(expression);
        case Expression::Kind::And:
        case Expression::Kind::Or:
            return evaluate_logical(expression);
        case Expression::Kind::Not:
            return !is_true(evaluate(*expression.parts[0]));
        case Expression::Kind::Negate:
            return negated(evaluate(*expression.parts[0]));
        case Expression::Kind::Plus:
            return unary_plus(evaluate(*expression.parts[0]));
        case Expression::Kind::Conditional:
            return evaluate_conditional(expression);
        case Expression::Kind::Chain:
            break;
    }
    return evaluate_chain(expression);
}

Value Interpreter::evaluate_name(const Expression& expression) {
    runtime_.budget.scan(expression.name.size());
    const Value* found = scope_->find(expression.name);
    if (found) return *found;
    return make_undefined(runtime_.budget, fmt::format("'{}' is undefined", expression.name));
}

Value Interpreter::evaluate_items(const Expression& expression) {
    std::vector<Value> items;
    for (const ExpressionPtr& part : expression.parts) items.push_back(evaluate(*part));
    const auto flavor = expression.kind == Expression::Kind::List ? Sequence::Flavor::List
                                                                  : Sequence::Flavor::Tuple;
    return make_sequence(runtime_.budget, flavor, std::move(items));
}

Value Interpreter::evaluate_dict(const Expression& expression) {
    Dict dict;
    for (size_t i = 0; i < expression.parts.size(); i += 2) {
        Value key = evaluate(*expression.parts[i]);
        dict.set(runtime_.budget, std::move(key), evaluate(*expression.parts[i + 1]));
    }
    return make_dict(runtime_.budget, std::move(dict));
}

Value Interpreter::evaluate_arithmetic(const Expression& expression) {
    Value value = evaluate(*expression.parts[0]);
    for (size_t i = 0; i < expression.operators.size(); ++i) {
        const Value right = evaluate(*expression.parts[i + 1]);
        runtime_.budget.step();
        value = compute(runtime_.budget, expression.operators[i], value, right);
    }
    return value;
}

Value Interpreter::evaluate_concat(const Expression& expression) {
    Text all;
    for (const ExpressionPtr& part : expression.parts) {
        const Text text = soft_text(runtime_, evaluate(*part));
        runtime_.budget.allocate(text.memory());
        all.append(text);
    }
    return make_text(runtime_.budget, std::move(all));
}

// a < b < c asks for both, and stops at the first that fails.
Value Interpreter::evaluate_compare(const Expression& expression) {
    Value left = evaluate(*expression.parts[0]);
    for (size_t i = 0; i < expression.comparisons.size(); ++i) {
        Value right = evaluate(*expression.parts[i + 1]);
        if (!compares(runtime_.budget, expression.comparisons[i], left, right)) return false;
        left = std::move(right);
    }
    return true;
}

// The last value that was looked at, as in Python.
Value Interpreter::evaluate_logical(const Expression& expression) {
    const bool stops_at = expression.kind == Expression::Kind::Or;
    Value value;
    for (const ExpressionPtr& part : expression.parts) {
        value = evaluate(*part);
        if (is_true(value) == stops_at) break;
    }
    return value;
}

Value Interpreter::evaluate_conditional(const Expression& expression) {
    if (is_true(evaluate(*expression.parts[0]))) return evaluate(*expression.parts[1]);
    if (expression.parts[2]) return evaluate(*expression.parts[2]);
    return make_undefined(runtime_.budget, "the inline if has no else");
}

Value Interpreter::evaluate_chain(const Expression& expression) {
    Value value = evaluate(*expression.parts[0]);
    for (const Suffix& suffix : expression.suffixes) {
        line_ = suffix.line;
        value = apply(suffix, value);
    }
    return value;
}

Value Interpreter::apply(const Suffix& suffix, const Value& value) {
    switch (suffix.kind) {
        case Suffix::Kind::Attribute:
            return attribute_of(runtime_, value, suffix.name);
        case Suffix::Kind::Item:
            return item_of(runtime_, value, evaluate(*suffix.parts[0]));
        case Suffix::Kind::Slice:
            return apply_slice(suffix, value);
        case Suffix::Kind::Call:
            return runtime_.call(value, evaluate_arguments(suffix.arguments));
        case Suffix::Kind::ByFilter:
            return apply_filter(runtime_, suffix.name, value, evaluate_arguments(suffix.arguments));
        case Suffix::Kind::ByTest:
        case Suffix::Kind::ByNotTest:
            break;
    }
    const Arguments arguments = evaluate_arguments(suffix.arguments);
    const bool passes = passes_test(runtime_, suffix.name, value, arguments);
    return passes == (suffix.kind == Suffix::Kind::ByTest);
}

Value Interpreter::apply_slice(const Suffix& suffix, const Value& value) {
    std::array<Value, 3> parts = {Value::none(), Value::none(), Value::none()};
    for (size_t i = 0; i < parts.size(); ++i) {
        if (suffix.parts[i]) parts[i] = evaluate(*suffix.parts[i]);
    }
    return slice_of(runtime_, value, parts);
}

Arguments Interpreter::evaluate_arguments(const CallArguments& arguments) {
    Arguments out;
    for (const ExpressionPtr& part : arguments.positional)
        out.positional.push_back(evaluate(*part));
    if (arguments.rest) {
        const SequencePtr rest = iterate(runtime_.budget, evaluate(*arguments.rest));
        runtime_.budget.allocate(rest->items.size() * sizeof(Value));
        out.positional.insert(out.positional.end(), rest->items.begin(), rest->items.end());
    }
    for (const auto& [name, part] : arguments.named) {
        runtime_.budget.allocate(sizeof(Text) + name.size());
        out.named.emplace_back(Text(name), evaluate(*part));
    }
    if (!arguments.named_rest) return out;
    const Value rest = evaluate(*arguments.named_rest);
    if (!rest.dict()) fail(ErrorCode::Corrupt, "** takes a dict, not a {}", rest.type_name());
    for (const auto& [key, value] : rest.dict()->entries()) {
        if (!key.text()) {
            fail(ErrorCode::Corrupt, "** takes a dict with a {} as key, expected strings",
                 key.type_name());
        }
        runtime_.budget.allocate(key.text()->memory() + sizeof(Value));
        out.named.emplace_back(*key.text(), value);
    }
    return out;
}

}  // namespace quarot::jinja
