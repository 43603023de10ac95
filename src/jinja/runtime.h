// What filters, tests, methods and macros share while one template is rendered.
#pragma once

#include <ctime>
#include <optional>
#include <utility>

#include "jinja/budget.h"
#include "jinja/value.h"

namespace quarot::jinja {

class Runtime {
  public:
    Runtime(Budget budget_in, std::optional<std::tm> now_in)
        : budget(std::move(budget_in)), now(now_in) {}

    // Calls a macro, method or global function. Error{Corrupt} if the value is none of them.
    Value call(const Value& callee, const Arguments& arguments);

    Budget budget;
    std::optional<std::tm> now;  // for strftime_now

  private:
    int calls_ = 0;
};

}  // namespace quarot::jinja
