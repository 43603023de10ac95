// How do the tokens of a template become statements?
#include "jinja/statement_parser.h"

#include <algorithm>
#include <array>
#include <initializer_list>

#include "core/error.h"
#include "io/text.h"
#include "jinja/expression_parser.h"

namespace quarot::jinja {
namespace {

constexpr std::array<std::string_view, 7> kMissingStatements = {
    "autoescape", "block", "extends", "from", "import", "include", "do"};

class StatementParser {
  public:
    explicit StatementParser(std::string_view source) : in_(tokenize(source)) {}

    Block run() { return block({}); }

  private:
    using Words = std::initializer_list<std::string_view>;

    // Up to a statement that begins with one of `ends`, which is left to be read.
    Block block(Words ends) {
        const ExpressionParser::Level level(in_);
        Block out;
        while (in_.current().kind != Token::Kind::End) {
            if (in_.current().kind == Token::Kind::Data) {
                out.push_back(text());
            } else if (in_.current().kind == Token::Kind::VariableBegin) {
                out.push_back(print());
            } else {
                in_.expect(Token::Kind::BlockBegin, "a statement");
                for (std::string_view end : ends) {
                    if (in_.current().is_name(end)) return out;
                }
                out.push_back(statement());
                in_.expect(Token::Kind::BlockEnd, "%}");
            }
        }
        if (ends.size() > 0) in_.fail_unexpected(std::string(*(ends.end() - 1)).c_str());
        return out;
    }

    // The body of a statement: behind the rest of its tag.
    Block body(Words ends) {
        in_.skip_operator(":");
        in_.expect(Token::Kind::BlockEnd, "%}");
        return block(ends);
    }

    Block body_until(std::string_view end) {
        Block out = body({end});
        in_.expect_name(end);
        return out;
    }

    Statement make(Statement::Kind kind) const {
        Statement statement;
        statement.kind = kind;
        statement.line = in_.current().line;
        return statement;
    }

    Statement text() {
        Statement out = make(Statement::Kind::Text);
        out.text = Text(in_.current().text);
        in_.next();
        return out;
    }

    Statement print() {
        Statement out = make(Statement::Kind::Print);
        in_.next();
        out.expressions.push_back(in_.tuple(true));
        in_.expect(Token::Kind::VariableEnd, "}}");
        return out;
    }

    Statement statement() {
        if (in_.skip_name("if")) return if_statement();
        if (in_.skip_name("for")) return for_statement();
        if (in_.skip_name("set")) return set_statement();
        if (in_.skip_name("macro")) return macro_statement();
        if (in_.skip_name("call")) return call_statement();
        if (in_.skip_name("filter")) return filter_statement();
        if (in_.skip_name("with")) return with_statement();
        if (in_.skip_name("print")) return print_statement();
        if (in_.current().is_name("break")) return jump(Statement::Kind::Break);
        if (in_.current().is_name("continue")) return jump(Statement::Kind::Continue);
        if (in_.skip_name("generation")) return generation_statement();
        for (std::string_view missing : kMissingStatements) {
            if (in_.current().is_name(missing)) {
                in_.fail_unsupported("the statement " + std::string(missing));
            }
        }
        in_.fail_unexpected("a statement");
    }

    Statement if_statement() {
        Statement out = make(Statement::Kind::If);
        while (true) {
            Branch branch;
            branch.condition = in_.tuple(false);
            branch.body = body({"elif", "else", "endif"});
            out.branches.push_back(std::move(branch));
            if (in_.skip_name("elif")) continue;
            if (in_.skip_name("else")) {
                out.branches.push_back({nullptr, body({"endif"})});
            }
            in_.expect_name("endif");
            return out;
        }
    }

    Statement for_statement() {
        Statement out = make(Statement::Kind::For);
        out.targets.push_back(in_.target(false));
        in_.expect_name("in");
        out.iterable = in_.tuple(false);
        if (in_.skip_name("if")) out.filter = in_.expression();
        if (in_.current().is_name("recursive")) in_.fail_unsupported("a recursive loop");
        ++loops_;
        out.body = body({"else", "endfor"});
        --loops_;
        if (in_.skip_name("else")) out.otherwise = body({"endfor"});
        in_.expect_name("endfor");
        return out;
    }

    Statement set_statement() {
        Statement out = make(Statement::Kind::Set);
        out.targets.push_back(in_.target(true));
        if (in_.skip_operator("=")) {
            out.expressions.push_back(in_.tuple(true));
            return out;
        }
        out.kind = Statement::Kind::SetBlock;
        out.filters = in_.filters();
        out.body = body_until("endset");
        return out;
    }

    std::vector<Parameter> parameters() {
        std::vector<Parameter> all;
        in_.expect_operator("(");
        while (!in_.current().is_operator(")")) {
            if (!all.empty()) in_.expect_operator(",");
            Parameter one;
            one.name = in_.take_name("a parameter's name");
            if (in_.skip_operator("=")) {
                one.otherwise = in_.expression();
            } else if (!all.empty() && all.back().otherwise) {
                in_.fail_unexpected("a parameter with a default");
            }
            all.push_back(std::move(one));
        }
        in_.next();
        return all;
    }

    // Loops outside do not reach into a macro, nor do names that stand for its arguments.
    void definition_body(MacroDefinition& macro, std::string_view end) {
        const int loops = std::exchange(loops_, 0);
        const auto outer_names = in_.take_special_names();
        macro.body = body_until(end);
        const auto names = in_.take_special_names();
        macro.uses_varargs = names.varargs;
        macro.uses_kwargs = names.kwargs;
        macro.uses_caller = names.caller;
        in_.put_special_names(outer_names);
        loops_ = loops;
    }

    Statement macro_statement() {
        Statement out = make(Statement::Kind::Macro);
        out.macro = std::make_unique<MacroDefinition>();
        out.macro->name = in_.take_name("a macro's name");
        out.macro->parameters = parameters();
        definition_body(*out.macro, "endmacro");
        return out;
    }

    Statement call_statement() {
        Statement out = make(Statement::Kind::CallBlock);
        out.macro = std::make_unique<MacroDefinition>();
        out.macro->name = "caller";
        if (in_.current().is_operator("(")) out.macro->parameters = parameters();
        ExpressionPtr call = in_.expression();
        const bool is_call = call->kind == Expression::Kind::Chain &&
                             call->suffixes.back().kind == Suffix::Kind::Call;
        if (!is_call) in_.fail_unexpected("a call");
        out.expressions.push_back(std::move(call));
        definition_body(*out.macro, "endcall");
        return out;
    }

    Statement filter_statement() {
        Statement out = make(Statement::Kind::FilterBlock);
        out.filters.push_back(in_.filter());
        for (Suffix& more : in_.filters()) out.filters.push_back(std::move(more));
        out.body = body_until("endfilter");
        return out;
    }

    Statement with_statement() {
        Statement out = make(Statement::Kind::With);
        while (in_.current().kind != Token::Kind::BlockEnd) {
            if (!out.targets.empty()) in_.expect_operator(",");
            // A comma would end the value, so that a target here is one name or in parentheses.
            Target one{.line = in_.current().line};
            one.name = in_.take_name("a name to assign to");
            out.targets.push_back(std::move(one));
            in_.expect_operator("=");
            out.expressions.push_back(in_.expression());
        }
        out.body = body_until("endwith");
        return out;
    }

    Statement print_statement() {
        Statement out = make(Statement::Kind::Print);
        while (in_.current().kind != Token::Kind::BlockEnd) {
            if (!out.expressions.empty()) in_.expect_operator(",");
            out.expressions.push_back(in_.expression());
        }
        return out;
    }

    Statement jump(Statement::Kind kind) {
        Statement out = make(kind);
        if (loops_ == 0) in_.fail_unexpected("a statement that may stand outside a loop");
        in_.next();
        return out;
    }

    Statement generation_statement() {
        Statement out = make(Statement::Kind::Scope);
        const int loops = std::exchange(loops_, 0);
        out.body = body_until("endgeneration");
        loops_ = loops;
        return out;
    }

    ExpressionParser in_;
    int loops_ = 0;  // around the current place
};

}  // namespace

Block parse_template(std::string_view source) {
    return StatementParser(source).run();
}

}  // namespace quarot::jinja
