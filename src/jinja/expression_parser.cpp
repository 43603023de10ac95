// How do the tokens of an expression become a tree?
#include "jinja/expression_parser.h"

#include <algorithm>
#include <array>

#include "core/error.h"

namespace quarot::jinja {

ExpressionPtr ExpressionParser::make(Expression::Kind kind) const {
    auto node = std::make_unique<Expression>();
    node->kind = kind;
    node->line = current().line;
    return node;
}

ExpressionPtr ExpressionParser::expression() {
    const Level level(*this);
    ExpressionPtr value = logical(true);
    if (!current().is_name("if")) return value;
    ExpressionPtr node = make(Expression::Kind::Conditional);
    next();
    node->parts.push_back(logical(true));
    node->parts.push_back(std::move(value));
    node->parts.push_back(skip_name("else") ? expression() : nullptr);
    if (current().is_name("if")) fail_unsupported("a second if in one expression");
    return node;
}

ExpressionPtr ExpressionParser::expression_without_condition() {
    const Level level(*this);
    return logical(true);
}

ExpressionPtr ExpressionParser::logical(bool is_or) {
    const char* word = is_or ? "or" : "and";
    ExpressionPtr first = is_or ? logical(false) : negation();
    if (!current().is_name(word)) return first;
    ExpressionPtr node = make(is_or ? Expression::Kind::Or : Expression::Kind::And);
    node->parts.push_back(std::move(first));
    while (skip_name(word)) node->parts.push_back(is_or ? logical(false) : negation());
    return node;
}

ExpressionPtr ExpressionParser::negation() {
    if (!current().is_name("not")) return comparison();
    const Level level(*this);
    ExpressionPtr node = make(Expression::Kind::Not);
    next();
    node->parts.push_back(negation());
    return node;
}

bool ExpressionParser::take_comparison(Comparison& comparison) {
    static constexpr std::array<std::pair<std::string_view, Comparison>, 6> kSigns = {{
        {"==", Comparison::Equal},
        {"!=", Comparison::Unequal},
        {"<", Comparison::Less},
        {"<=", Comparison::LessOrEqual},
        {">", Comparison::Greater},
        {">=", Comparison::GreaterOrEqual},
    }};
    for (const auto& [sign, kind] : kSigns) {
        if (!skip_operator(sign)) continue;
        comparison = kind;
        return true;
    }
    if (skip_name("in")) {
        comparison = Comparison::In;
        return true;
    }
    if (!current().is_name("not") || !following().is_name("in")) return false;
    next();
    next();
    comparison = Comparison::NotIn;
    return true;
}

ExpressionPtr ExpressionParser::comparison() {
    ExpressionPtr first = sum();
    Comparison comparison{};
    if (!take_comparison(comparison)) return first;
    ExpressionPtr node = make(Expression::Kind::Compare);
    node->parts.push_back(std::move(first));
    do {
        node->comparisons.push_back(comparison);
        node->parts.push_back(sum());
    } while (take_comparison(comparison));
    return node;
}

ExpressionPtr ExpressionParser::sum() {
    ExpressionPtr first = concatenation();
    if (!current().is_operator("+") && !current().is_operator("-")) return first;
    ExpressionPtr node = make(Expression::Kind::Arithmetic);
    node->parts.push_back(std::move(first));
    while (true) {
        if (skip_operator("+")) {
            node->operators.push_back(Operator::Add);
        } else if (skip_operator("-")) {
            node->operators.push_back(Operator::Subtract);
        } else {
            return node;
        }
        node->parts.push_back(concatenation());
    }
}

ExpressionPtr ExpressionParser::concatenation() {
    ExpressionPtr first = product();
    if (!current().is_operator("~")) return first;
    ExpressionPtr node = make(Expression::Kind::Concat);
    node->parts.push_back(std::move(first));
    while (skip_operator("~")) node->parts.push_back(product());
    return node;
}

ExpressionPtr ExpressionParser::product() {
    static constexpr std::array<std::pair<std::string_view, Operator>, 4> kSigns = {{
        {"*", Operator::Multiply},
        {"/", Operator::Divide},
        {"//", Operator::FloorDivide},
        {"%", Operator::Modulo},
    }};
    ExpressionPtr node = power();
    bool is_chain = false;
    while (true) {
        const auto* sign = std::find_if(kSigns.begin(), kSigns.end(), [&](const auto& entry) {
            return current().is_operator(entry.first);
        });
        if (sign == kSigns.end()) return node;
        if (!is_chain) {
            ExpressionPtr chain = make(Expression::Kind::Arithmetic);
            chain->parts.push_back(std::move(node));
            node = std::move(chain);
            is_chain = true;
        }
        next();
        node->operators.push_back(sign->second);
        node->parts.push_back(power());
    }
}

ExpressionPtr ExpressionParser::power() {
    ExpressionPtr first = unary(true);
    if (!current().is_operator("**")) return first;
    ExpressionPtr node = make(Expression::Kind::Arithmetic);
    node->parts.push_back(std::move(first));
    while (skip_operator("**")) {
        node->operators.push_back(Operator::Power);
        node->parts.push_back(unary(true));
    }
    return node;
}

ExpressionPtr ExpressionParser::unary(bool with_filters) {
    ExpressionPtr node;
    if (current().is_operator("-") || current().is_operator("+")) {
        const Level level(*this);
        node = make(current().is_operator("-") ? Expression::Kind::Negate : Expression::Kind::Plus);
        next();
        node->parts.push_back(unary(false));
    } else {
        node = primary();
    }
    postfix(node);
    if (with_filters) filters_and_tests(node);
    return node;
}

ExpressionPtr ExpressionParser::primary() {
    switch (current().kind) {
        case Token::Kind::Name:
            return name();
        case Token::Kind::String:
            return string();
        case Token::Kind::Integer:
        case Token::Kind::Float: {
            ExpressionPtr node = make(Expression::Kind::Constant);
            node->constant = current().kind == Token::Kind::Integer ? Value(current().integer)
                                                                    : Value(current().real);
            next();
            return node;
        }
        default:
            break;
    }
    if (current().is_operator("(")) return parenthesized();
    if (current().is_operator("[")) return list();
    if (current().is_operator("{")) return dict();
    fail_unexpected("an expression");
}

ExpressionPtr ExpressionParser::name() {
    ExpressionPtr node = make(Expression::Kind::Constant);
    const std::string word = take_name("a name");
    if (word == "true" || word == "True") {
        node->constant = true;
    } else if (word == "false" || word == "False") {
        node->constant = false;
    } else if (word == "none" || word == "None") {
        node->constant = Value::none();
    } else {
        node->kind = Expression::Kind::Name;
        node->name = word;
        special_names_.varargs = special_names_.varargs || word == "varargs";
        special_names_.kwargs = special_names_.kwargs || word == "kwargs";
        special_names_.caller = special_names_.caller || word == "caller";
    }
    return node;
}

ExpressionPtr ExpressionParser::string() {
    ExpressionPtr node = make(Expression::Kind::Constant);
    std::string bytes;
    for (; current().kind == Token::Kind::String; next()) bytes += current().text;
    node->constant = std::make_shared<const Text>(std::move(bytes));
    return node;
}

ExpressionPtr ExpressionParser::list() {
    ExpressionPtr node = make(Expression::Kind::List);
    next();
    while (!current().is_operator("]")) {
        if (!node->parts.empty()) expect_operator(",");
        if (current().is_operator("]")) break;
        node->parts.push_back(expression());
    }
    next();
    return node;
}

ExpressionPtr ExpressionParser::dict() {
    ExpressionPtr node = make(Expression::Kind::Dict);
    next();
    while (!current().is_operator("}")) {
        if (!node->parts.empty()) expect_operator(",");
        if (current().is_operator("}")) break;
        node->parts.push_back(expression());
        expect_operator(":");
        node->parts.push_back(expression());
    }
    next();
    return node;
}

ExpressionPtr ExpressionParser::parenthesized() {
    ExpressionPtr empty = make(Expression::Kind::Tuple);
    next();
    if (skip_operator(")")) return empty;
    ExpressionPtr node = tuple(true);
    expect_operator(")");
    return node;
}

bool ExpressionParser::ends_tuple() const {
    return current().kind == Token::Kind::VariableEnd || current().kind == Token::Kind::BlockEnd ||
           current().is_operator(")") || current().is_name("recursive");
}

ExpressionPtr ExpressionParser::tuple(bool with_condition) {
    const auto one = [&] { return with_condition ? expression() : expression_without_condition(); };
    ExpressionPtr first = one();
    if (!current().is_operator(",")) return first;
    ExpressionPtr node = make(Expression::Kind::Tuple);
    node->parts.push_back(std::move(first));
    while (skip_operator(",") && !ends_tuple()) node->parts.push_back(one());
    return node;
}

Target ExpressionParser::one_target(bool with_namespace) {
    const Level level(*this);
    if (skip_operator("(")) {
        Target nested = target(with_namespace);
        expect_operator(")");
        return nested;
    }
    static constexpr std::array<std::string_view, 6> kConstants = {"true", "false", "none",
                                                                   "True", "False", "None"};
    Target one{.line = current().line};
    one.name = take_name("a name to assign to");
    if (std::find(kConstants.begin(), kConstants.end(), one.name) != kConstants.end()) {
        fail(ErrorCode::Corrupt, "line {}: {} cannot be assigned to", one.line, one.name);
    }
    if (with_namespace && skip_operator(".")) one.member = take_name("a member's name");
    return one;
}

Target ExpressionParser::target(bool with_namespace) {
    Target first = one_target(with_namespace);
    if (!current().is_operator(",")) return first;
    Target all{.line = first.line, .is_tuple = true};
    all.parts.push_back(std::move(first));
    while (skip_operator(",")) {
        if (ends_tuple() || current().is_name("in") || current().is_operator("=")) break;
        all.parts.push_back(one_target(with_namespace));
    }
    return all;
}

}  // namespace quarot::jinja
