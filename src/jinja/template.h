// A Jinja template from text to text: the subset that chat templates use, bounded in time and
// memory, with no way out of its variables.
#pragma once

#include <cstdint>
#include <ctime>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "io/json.h"
#include "jinja/text.h"

namespace quarot::jinja {

// Which strings of a variable a user typed. ExceptRoles: all but the members "role" of a list's
// items, which templates build control tokens from.
enum class UserText { No, Yes, ExceptRoles };

struct Variable {
    std::string name;
    io::Json value;
    UserText user = UserText::No;
};

struct Surroundings {
    std::optional<std::tm> now;         // for strftime_now; absent: there is no such function
    std::function<int64_t()> clock_ms;  // if given, rendering fails after a deadline
};

// The environment is that of the transformers library: trim_blocks, lstrip_blocks, break and
// continue, {% generation %}, tojson without HTML escaping, raise_exception, strftime_now.
class Template {
  public:
    // `name` begins every message. Error{Corrupt} if it is no template, Error{Unsupported} naming
    // the construct that the subset lacks.
    static Template parse(std::string_view source, std::string name = "template");
    Template(Template&&) noexcept;
    Template& operator=(Template&&) noexcept;
    ~Template();

    // Error{Usage} with the message of raise_exception, Error{Corrupt} if the template fails or
    // exceeds a limit of jinja/limits.h, Error{Unsupported} as above.
    Text render(const std::vector<Variable>& variables, const Surroundings& around = {}) const;

  private:
    struct Impl;
    explicit Template(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

}  // namespace quarot::jinja
