// Which token comes next, and is it the one that must stand here?
#include <algorithm>

#include "core/error.h"
#include "io/text.h"
#include "jinja/expression_parser.h"
#include "jinja/limits.h"

namespace quarot::jinja {
namespace {

std::string described(const Token& token) {
    switch (token.kind) {
        case Token::Kind::End:
            return "the end of the template";
        case Token::Kind::VariableEnd:
            return "}}";
        case Token::Kind::BlockEnd:
            return "%}";
        case Token::Kind::Name:
        case Token::Kind::Operator:
            return io::printable(token.text, 40);
        case Token::Kind::String:
            return "a string";
        case Token::Kind::Integer:
        case Token::Kind::Float:
            return "a number";
        default:
            return "text";
    }
}

}  // namespace

ExpressionParser::Level::Level(ExpressionParser& parser) : parser_(parser) {
    if (parser_.depth_ == limits::kTemplateDepth) {
        fail(ErrorCode::Corrupt, "line {}: the template nests more than {} deep",
             parser_.current().line, limits::kTemplateDepth);
    }
    ++parser_.depth_;
}

const Token& ExpressionParser::following() const {
    return tokens_[std::min(at_ + 1, tokens_.size() - 1)];
}

void ExpressionParser::next() {
    if (at_ + 1 < tokens_.size()) ++at_;
}

bool ExpressionParser::skip_operator(std::string_view sign) {
    if (!current().is_operator(sign)) return false;
    next();
    return true;
}

bool ExpressionParser::skip_name(std::string_view word) {
    if (!current().is_name(word)) return false;
    next();
    return true;
}

void ExpressionParser::expect_operator(std::string_view sign) {
    if (!skip_operator(sign)) fail_unexpected(std::string(sign).c_str());
}

void ExpressionParser::expect_name(std::string_view word) {
    if (!skip_name(word)) fail_unexpected(std::string(word).c_str());
}

void ExpressionParser::expect(Token::Kind kind, const char* what) {
    if (current().kind != kind) fail_unexpected(what);
    next();
}

std::string ExpressionParser::take_name(const char* what) {
    if (current().kind != Token::Kind::Name) fail_unexpected(what);
    std::string name = current().text;
    next();
    return name;
}

void ExpressionParser::fail_unexpected(const char* expected) const {
    fail(ErrorCode::Corrupt, "line {}: found {}, expected {}", current().line, described(current()),
         expected);
}

void ExpressionParser::fail_unsupported(std::string_view what) const {
    fail(ErrorCode::Unsupported, "line {}: {} is not supported", current().line, what);
}

}  // namespace quarot::jinja
