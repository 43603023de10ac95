// Sets of characters, as the regular expressions of tokenizer.json mean them, in PCRE2's spelling.
#pragma once

#include <string>
#include <string_view>

namespace quarot::tokenizer {

// Each is the inside of a bracket expression: put [ ] or [^ ] around it.
std::string class_of_words();              // \w
std::string class_of_words_in_brackets();  // \w among others, which is less
std::string class_of_spaces();             // \s
std::string class_of_non_spaces();         // \S
// \p{name}: a general category or a script; empty if it is none that we have.
std::string class_of_property(std::string_view name);

// One character, wherever it stands.
std::string escaped(char32_t code);

}  // namespace quarot::tokenizer
