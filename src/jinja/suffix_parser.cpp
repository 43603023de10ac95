// What follows a value? Members, slices, calls, filters and tests.
#include "jinja/expression_parser.h"

namespace quarot::jinja {
namespace {

// A chain node to which suffixes can be added.
void make_chain(ExpressionPtr& node) {
    if (node->kind == Expression::Kind::Chain) return;
    auto chain = std::make_unique<Expression>();
    chain->kind = Expression::Kind::Chain;
    chain->line = node->line;
    chain->parts.push_back(std::move(node));
    node = std::move(chain);
}

}  // namespace

void ExpressionParser::postfix(ExpressionPtr& node) {
    while (true) {
        const bool is_subscript = current().is_operator(".") || current().is_operator("[");
        if (!is_subscript && !current().is_operator("(")) return;
        make_chain(node);
        node->suffixes.push_back(is_subscript ? subscript() : call());
    }
}

void ExpressionParser::filters_and_tests(ExpressionPtr& node) {
    while (true) {
        const bool is_test = current().is_name("is");
        const bool is_filter = current().is_operator("|");
        if (!is_test && !is_filter && !current().is_operator("(")) return;
        make_chain(node);
        if (is_filter) next();
        node->suffixes.push_back(is_test ? test() : is_filter ? filter() : call());
    }
}

Suffix ExpressionParser::call() {
    Suffix suffix{.kind = Suffix::Kind::Call, .line = current().line};
    suffix.arguments = call_arguments();
    return suffix;
}

Suffix ExpressionParser::subscript() {
    Suffix suffix{.kind = Suffix::Kind::Attribute, .line = current().line};
    if (skip_operator(".")) {
        if (current().kind == Token::Kind::Integer) {
            suffix.kind = Suffix::Kind::Item;
            suffix.parts.push_back(primary());
            return suffix;
        }
        suffix.name = take_name("a member's name");
        return suffix;
    }
    next();
    const auto part = [&]() -> ExpressionPtr {
        const bool absent =
            current().is_operator(":") || current().is_operator("]") || current().is_operator(",");
        return absent ? nullptr : expression();
    };
    suffix.parts.push_back(part());
    if (skip_operator(":")) {
        suffix.kind = Suffix::Kind::Slice;
        suffix.parts.push_back(part());
        suffix.parts.push_back(skip_operator(":") ? part() : nullptr);
    } else {
        suffix.kind = Suffix::Kind::Item;
        if (!suffix.parts[0]) fail_unexpected("an index");
    }
    if (current().is_operator(",")) fail_unsupported("an index of several values");
    expect_operator("]");
    return suffix;
}

CallArguments ExpressionParser::call_arguments() {
    CallArguments arguments;
    expect_operator("(");
    while (!current().is_operator(")")) {
        if (arguments.named_rest) fail_unexpected(") after the ** argument");
        if (current().is_operator("*")) {
            if (arguments.rest) fail_unexpected("one * argument only");
            next();
            arguments.rest = expression();
        } else if (skip_operator("**")) {
            arguments.named_rest = expression();
        } else if (current().kind == Token::Kind::Name && following().is_operator("=")) {
            std::string name = take_name("a name");
            next();
            arguments.named.emplace_back(std::move(name), expression());
        } else {
            if (arguments.rest || !arguments.named.empty()) {
                fail_unexpected("a named argument");
            }
            arguments.positional.push_back(expression());
        }
        if (!current().is_operator(")")) expect_operator(",");
    }
    next();
    return arguments;
}

Suffix ExpressionParser::filter() {
    Suffix suffix{.kind = Suffix::Kind::ByFilter, .line = current().line};
    suffix.name = take_name("the name of a filter");
    while (skip_operator(".")) suffix.name.append(".").append(take_name("the name of a filter"));
    if (current().is_operator("(")) suffix.arguments = call_arguments();
    return suffix;
}

std::vector<Suffix> ExpressionParser::filters() {
    std::vector<Suffix> all;
    while (skip_operator("|")) all.push_back(filter());
    return all;
}

// An argument without parentheses: `x is divisibleby 3`.
bool ExpressionParser::starts_test_argument() const {
    switch (current().kind) {
        case Token::Kind::Name:
            return !current().is_name("else") && !current().is_name("or") &&
                   !current().is_name("and");
        case Token::Kind::String:
        case Token::Kind::Integer:
        case Token::Kind::Float:
            return true;
        default:
            return current().is_operator("[") || current().is_operator("{");
    }
}

Suffix ExpressionParser::test() {
    Suffix suffix{.kind = Suffix::Kind::ByTest, .line = current().line};
    next();
    if (skip_name("not")) suffix.kind = Suffix::Kind::ByNotTest;
    suffix.name = take_name("the name of a test");
    while (skip_operator(".")) suffix.name.append(".").append(take_name("the name of a test"));
    if (current().is_operator("(")) {
        suffix.arguments = call_arguments();
    } else if (starts_test_argument()) {
        if (current().is_name("is")) fail_unexpected("one test only, or brackets around the first");
        ExpressionPtr argument = primary();
        postfix(argument);
        suffix.arguments.positional.push_back(std::move(argument));
    }
    return suffix;
}

}  // namespace quarot::jinja
