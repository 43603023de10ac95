// What is value.name, value[key] and value[from:to:step]?
#pragma once

#include <array>
#include <string>

#include "jinja/runtime.h"

namespace quarot::jinja {

// Methods first, then members, as jinja2 looks. Undefined if there is none; Error{Corrupt} if the
// value is itself undefined.
Value attribute_of(Runtime& runtime, const Value& value, const std::string& name);
// Members first, then methods.
Value item_of(Runtime& runtime, const Value& value, const Value& key);
// Absent parts are None.
Value slice_of(Runtime& runtime, const Value& value, const std::array<Value, 3>& parts);

}  // namespace quarot::jinja
