// How are numbers written and read, by Python's rules?
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "jinja/value.h"

namespace quarot::jinja {

bool is_digit(char c);  // of ASCII
// Of a digit or letter in a base up to 36; more than any base allows for the rest.
int digit_value(char c);
std::string float_text(double number);  // the shortest that reads back equal: 1.0, 1e+16, nan
std::optional<double> parse_float(std::string_view text);
// Digits of a base with sign, prefix and underscores. Empty if it is no integer;
// Error{Unsupported} above 64 bits.
std::optional<int64_t> parse_integer(std::string_view text, int base);
int64_t whole_part(double number);  // towards zero; Error if not finite or above 64 bits

}  // namespace quarot::jinja
