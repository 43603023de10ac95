// Which statements does a template consist of?
#pragma once

#include <string_view>

#include "jinja/ast.h"

namespace quarot::jinja {

// Error{Corrupt} if it is no template, Error{Unsupported} naming what we lack; both with the line.
Block parse_template(std::string_view source);

}  // namespace quarot::jinja
