// Which tests follow `is`, and which values pass?
#pragma once

#include <string>

#include "jinja/runtime.h"

namespace quarot::jinja {

bool has_test(const std::string& name);
// Error{Unsupported} naming the test if we lack it.
bool passes_test(Runtime& runtime, const std::string& name, const Value& value,
                 const Arguments& args);

}  // namespace quarot::jinja
