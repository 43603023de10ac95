// Which methods do strings, dicts and lists have?
#pragma once

#include <optional>
#include <string>

#include "jinja/runtime.h"

namespace quarot::jinja {

// The bound method; undefined if it may not be called (it would change the value); empty if the
// type has no such method. Error{Unsupported} if Python's type has one that we lack.
std::optional<Value> method_of(Runtime& runtime, const Value& value, const std::string& name);

struct TextMethod {
    const char* name;
    // `called` is this name, for messages: some methods share a function.
    Value (*call)(Runtime&, const char* called, const Text& self, const Arguments&);
};
// Null if we have none of that name.
const TextMethod* text_method(const std::string& name);

}  // namespace quarot::jinja
