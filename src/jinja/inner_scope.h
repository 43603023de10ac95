// A scope inside the present one, for as long as it lives.
#pragma once

#include "jinja/interpreter.h"

namespace quarot::jinja {

class Interpreter::InnerScope {
  public:
    explicit InnerScope(Interpreter& interpreter) : InnerScope(interpreter, interpreter.scope_) {}
    // Inside another scope than the present one, as a macro's is.
    InnerScope(Interpreter& interpreter, const ScopePtr& parent)
        : interpreter_(interpreter), outer_(interpreter.scope_) {
        interpreter_.scope_ = std::make_shared<Scope>(parent);
    }
    ~InnerScope() { interpreter_.scope_ = outer_; }
    InnerScope(const InnerScope&) = delete;
    InnerScope& operator=(const InnerScope&) = delete;

  private:
    Interpreter& interpreter_;
    ScopePtr outer_;
};

}  // namespace quarot::jinja
