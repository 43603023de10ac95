// What is a regular expression of tokenizer.json in the syntax of PCRE2?
#pragma once

#include <string>
#include <string_view>

#include "tokenizer/regex_classes.h"

namespace quarot::tokenizer {

// Files mean the syntax of Oniguruma with the Unicode version of the tokenizers package. The result
// matches the same texts in PCRE2 with the options UTF and UCP. Error{Unsupported}, naming `place`,
// the pattern and the construct, for what we cannot say in PCRE2 or have not compared: see
// docs/decisions.md.
std::string to_pcre2(std::string_view pattern, const std::string& place,
                     const RegexClasses& classes);

}  // namespace quarot::tokenizer
