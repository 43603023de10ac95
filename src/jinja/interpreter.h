// What does a parsed template print with these variables?
#pragma once

#include <memory>
#include <vector>

#include "jinja/ast.h"
#include "jinja/globals.h"
#include "jinja/runtime.h"
#include "jinja/scope.h"

namespace quarot::jinja {

// Renders one template once. The template must outlive it.
class Interpreter {
  public:
    explicit Interpreter(Runtime& runtime);
    ~Interpreter();
    Interpreter(const Interpreter&) = delete;
    Interpreter& operator=(const Interpreter&) = delete;

    void set_variable(const std::string& name, Value value);
    Text render(const Block& block);
    int line() const { return line_; }  // of what is evaluated, for messages

  private:
    enum class Flow { Normal, Break, Continue };
    using ScopePtr = std::shared_ptr<Scope>;
    class InnerScope;
    class NamedArguments;

    // execute.cpp
    Flow execute(const Block& block);
    Flow execute(const Statement& statement);
    Flow execute_if(const Statement& statement);
    Flow execute_for(const Statement& statement);
    Flow execute_in_scope(const Block& block);
    Flow execute_with(const Statement& statement);
    Flow execute_captured(const Statement& statement);  // set and filter blocks
    void call_with_block(const Statement& statement);
    void print(const Value& value);
    void print(const Text& text);
    void assign(const Target& target, const Value& value);
    void assign_member(const Target& target, const Value& value);
    SequencePtr items_of(const Statement& loop);

    // macro.cpp
    Value make_macro(const MacroDefinition& macro);
    Value call_macro(const MacroDefinition& macro, const ScopePtr& defined_in,
                     const Arguments& arguments);
    void bind_parameters(const MacroDefinition& macro, const Arguments& arguments);
    void bind_rest(const MacroDefinition& macro, const Arguments& arguments,
                   const NamedArguments& left);

    // evaluate.cpp
    Value evaluate(const Expression& expression);
    Value evaluate_name(const Expression& expression);
    Value evaluate_items(const Expression& expression);
    Value evaluate_dict(const Expression& expression);
    Value evaluate_arithmetic(const Expression& expression);
    Value evaluate_concat(const Expression& expression);
    Value evaluate_compare(const Expression& expression);
    Value evaluate_logical(const Expression& expression);
    Value evaluate_conditional(const Expression& expression);
    Value evaluate_chain(const Expression& expression);
    Value apply(const Suffix& suffix, const Value& value);
    Value apply_slice(const Suffix& suffix, const Value& value);
    Arguments evaluate_arguments(const CallArguments& arguments);

    Runtime& runtime_;
    Namespaces namespaces_;
    std::vector<std::shared_ptr<Loop>> loops_;
    std::vector<ScopePtr> captured_;  // by macros, which their scopes may hold in turn
    ScopePtr scope_;
    Text* out_ = nullptr;
    int line_ = 1;
};

}  // namespace quarot::jinja
