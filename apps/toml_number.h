// Which words are numbers in TOML, and how does a command line write them?
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace quarot::apps {

// "1_000" as "1000", "0x1F" as "31", "+0.5" as "0.5"; fractions keep their digits. Empty for what
// is no number, for inf and nan, and for hexadecimal, octal or binary numbers beyond 64 bits.
std::optional<std::string> toml_number(std::string_view word);

}  // namespace quarot::apps
