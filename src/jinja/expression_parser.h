// Which expression do these words form?
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "jinja/ast.h"
#include "jinja/lexer.h"

namespace quarot::jinja {

// Reads expressions from a list of tokens, one after the other. Errors name the line.
class ExpressionParser {
  public:
    explicit ExpressionParser(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

    // The stream of tokens, for whoever reads what stands between expressions.
    const Token& current() const { return tokens_[at_]; }
    const Token& following() const;
    void next();
    bool skip_operator(std::string_view sign);
    bool skip_name(std::string_view word);
    void expect_operator(std::string_view sign);
    void expect_name(std::string_view word);
    void expect(Token::Kind kind, const char* what);
    std::string take_name(const char* what);
    [[noreturn]] void fail_unexpected(const char* expected) const;
    [[noreturn]] void fail_unsupported(std::string_view what) const;

    ExpressionPtr expression();
    ExpressionPtr expression_without_condition();
    // One expression, or several separated by commas: a tuple.
    ExpressionPtr tuple(bool with_condition);
    std::vector<Suffix> filters();  // of a block: each after "|"
    Suffix filter();                // name and arguments
    Target target(bool with_namespace);
    CallArguments call_arguments();

    // One level of nesting in the source.
    class Level {
      public:
        explicit Level(ExpressionParser& parser);
        ~Level() { --parser_.depth_; }
        Level(const Level&) = delete;
        Level& operator=(const Level&) = delete;

      private:
        ExpressionParser& parser_;
    };

    // Which of the names varargs, kwargs and caller were read since the last take.
    struct SpecialNames {
        bool varargs = false;
        bool kwargs = false;
        bool caller = false;
    };
    SpecialNames take_special_names() { return std::exchange(special_names_, {}); }
    void put_special_names(const SpecialNames& names) { special_names_ = names; }

  private:
    ExpressionPtr make(Expression::Kind kind) const;
    ExpressionPtr logical(bool is_or);
    ExpressionPtr negation();
    ExpressionPtr comparison();
    bool take_comparison(Comparison& comparison);
    ExpressionPtr sum();
    ExpressionPtr concatenation();
    ExpressionPtr product();
    ExpressionPtr power();
    ExpressionPtr unary(bool with_filters);
    ExpressionPtr primary();
    ExpressionPtr name();
    ExpressionPtr string();
    ExpressionPtr list();
    ExpressionPtr dict();
    ExpressionPtr parenthesized();
    void postfix(ExpressionPtr& node);
    void filters_and_tests(ExpressionPtr& node);
    Suffix subscript();
    Suffix call();
    Suffix test();
    bool starts_test_argument() const;
    bool ends_tuple() const;
    Target one_target(bool with_namespace);

    std::vector<Token> tokens_;  // ends with Token::Kind::End
    size_t at_ = 0;
    int depth_ = 0;
    SpecialNames special_names_;
};

}  // namespace quarot::jinja
