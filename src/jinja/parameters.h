// Which argument belongs to which parameter of a filter, test, method or function?
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "jinja/value.h"

namespace quarot::jinja {

// Arguments bound to named parameters. Error{Corrupt} for too many, unknown, doubled or missing
// ones.
class Parameters {
  public:
    Parameters(std::string function, const Arguments& arguments,
               std::initializer_list<const char*> names, size_t required = 0);

    bool has(size_t index) const { return values_[index].has_value(); }
    // Undefined if the argument was not given.
    const Value& operator[](size_t index) const;

    // With a default for arguments that were not given; Error{Corrupt} for another type.
    bool flag(size_t index, bool otherwise) const;  // any value, by its truth
    int64_t integer(size_t index, int64_t otherwise) const;
    std::optional<int64_t> optional_integer(size_t index) const;  // empty for none, too
    const Text& text(size_t index) const;                         // must have been given
    const Text* optional_text(size_t index) const;                // null for none, too

  private:
    [[noreturn]] void fail_type(size_t index, const char* expected) const;

    std::string function_;
    std::vector<const char*> names_;
    std::vector<std::optional<Value>> values_;
};

}  // namespace quarot::jinja
