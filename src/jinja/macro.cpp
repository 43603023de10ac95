// How are macros made and called?
#include <algorithm>
#include <map>
#include <string_view>

#include "core/error.h"
#include "jinja/inner_scope.h"

namespace quarot::jinja {

Value Interpreter::make_macro(const MacroDefinition& macro) {
    runtime_.budget.allocate(sizeof(Callable) + macro.name.size() + sizeof(Scope));
    captured_.push_back(scope_);
    Callable callable{.name = macro.name, .is_macro = true};
    // A weak hold: captured_ keeps the scope while the template runs.
    const std::weak_ptr<Scope> defined_in = scope_;
    callable.call = [this, &macro, defined_in](Runtime&, const Arguments& arguments) {
        return call_macro(macro, defined_in.lock(), arguments);
    };
    return std::make_shared<const Callable>(std::move(callable));
}

Value Interpreter::call_macro(const MacroDefinition& macro, const ScopePtr& defined_in,
                              const Arguments& arguments) {
    const int line = line_;
    Text printed;
    Text* const outer = std::exchange(out_, &printed);
    {
        const InnerScope scope(*this, defined_in);
        bind_parameters(macro, arguments);
        execute(macro.body);
    }
    out_ = outer;
    line_ = line;
    return make_text(runtime_.budget, std::move(printed));
}

// The named arguments of a call that no parameter has taken yet.
class Interpreter::NamedArguments {
  public:
    NamedArguments(Budget& budget, const std::string& macro, const Arguments& arguments) {
        for (const auto& [name, value] : arguments.named) {
            budget.step();
            budget.scan(name.size());
            if (!left_.emplace(name.bytes(), &value).second) {
                fail(ErrorCode::Corrupt, "macro {} is given {} twice", macro, name.bytes());
            }
        }
    }
    bool has(std::string_view name) const { return left_.count(name) > 0; }
    // Null if there is none of that name.
    const Value* take(std::string_view name) {
        const auto found = left_.find(name);
        if (found == left_.end()) return nullptr;
        const Value* value = found->second;
        left_.erase(found);
        return value;
    }

  private:
    std::map<std::string_view, const Value*> left_;
};

void Interpreter::bind_parameters(const MacroDefinition& macro, const Arguments& arguments) {
    NamedArguments named(runtime_.budget, macro.name, arguments);
    for (size_t i = 0; i < macro.parameters.size(); ++i) {
        const Parameter& parameter = macro.parameters[i];
        runtime_.budget.step();
        runtime_.budget.allocate(Scope::memory_of(parameter.name));
        const Value* by_name = named.take(parameter.name);
        if (i < arguments.positional.size()) {
            if (by_name) {
                fail(ErrorCode::Corrupt, "macro {} is given {} twice", macro.name, parameter.name);
            }
            scope_->set(parameter.name, arguments.positional[i]);
        } else if (by_name) {
            scope_->set(parameter.name, *by_name);
        } else if (parameter.otherwise) {
            scope_->set(parameter.name, evaluate(*parameter.otherwise));
        } else {
            scope_->set(parameter.name,
                        make_undefined(runtime_.budget,
                                       "parameter '" + parameter.name + "' was not given"));
        }
    }
    bind_rest(macro, arguments, named);
}

// Arguments without a parameter go to varargs, kwargs and caller if the macro speaks of them.
void Interpreter::bind_rest(const MacroDefinition& macro, const Arguments& arguments,
                            const NamedArguments& left) {
    const size_t taken = std::min(macro.parameters.size(), arguments.positional.size());
    if (macro.uses_varargs) {
        scope_->set("varargs", make_tuple(runtime_.budget, {arguments.positional.begin() +
                                                                static_cast<std::ptrdiff_t>(taken),
                                                            arguments.positional.end()}));
    } else if (taken < arguments.positional.size()) {
        fail(ErrorCode::Corrupt, "macro {} takes at most {} arguments, not {}", macro.name, taken,
             arguments.positional.size());
    }
    Dict rest;
    if (macro.uses_caller) {
        scope_->set("caller", make_undefined(runtime_.budget, "no caller was given"));
    }
    for (const auto& [name, value] : arguments.named) {
        if (!left.has(name.bytes())) continue;
        if (name.bytes() == "caller" && macro.uses_caller) {
            scope_->set(name.bytes(), value);
        } else if (macro.uses_kwargs) {
            rest.set(runtime_.budget, make_text(runtime_.budget, name), value);
        } else {
            fail(ErrorCode::Corrupt, "macro {} has no parameter {}", macro.name, name.bytes());
        }
    }
    if (macro.uses_kwargs) scope_->set("kwargs", make_dict(runtime_.budget, std::move(rest)));
}

void Interpreter::call_with_block(const Statement& statement) {
    const Value caller = make_macro(*statement.macro);
    const Expression& call = *statement.expressions[0];
    Value callee = evaluate(*call.parts[0]);
    for (size_t i = 0; i + 1 < call.suffixes.size(); ++i) {
        callee = apply(call.suffixes[i], callee);
    }
    Arguments arguments = evaluate_arguments(call.suffixes.back().arguments);
    arguments.named.emplace_back(Text("caller"), caller);
    print(runtime_.call(callee, arguments));
}

}  // namespace quarot::jinja
