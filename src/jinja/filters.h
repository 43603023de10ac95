// Which filters are there, and what does each make of its input?
#pragma once

#include <span>
#include <string>

#include "jinja/runtime.h"

namespace quarot::jinja {

// `called` is the filter's name, for messages: some filters share a function.
using Filter = Value (*)(Runtime&, const char* called, const Value& input, const Arguments&);

struct NamedFilter {
    const char* name;
    Filter filter;
};

// In four files, by what they work on.
std::span<const NamedFilter> text_filters();
std::span<const NamedFilter> list_filters();
std::span<const NamedFilter> selection_filters();
std::span<const NamedFilter> value_filters();

// Null if we have none of that name.
const NamedFilter* find_filter(const std::string& name);
// Error{Unsupported} naming the filter if we lack it.
Value apply_filter(Runtime& runtime, const std::string& name, const Value& input,
                   const Arguments& args);

}  // namespace quarot::jinja
