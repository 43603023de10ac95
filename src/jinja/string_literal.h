// Which characters does a quoted string of a template stand for?
#pragma once

#include <string>
#include <string_view>

namespace quarot::jinja {

// Resolves the escapes of Python (\n, \x41, \u00e9); `inside` stands between the quotes.
// Error{Corrupt} or Error{Unsupported} with the line.
std::string unescaped(std::string_view inside, int line);

}  // namespace quarot::jinja
