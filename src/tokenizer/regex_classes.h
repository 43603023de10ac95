// Sets of characters, as the regular expressions of tokenizer.json mean them, in PCRE2's spelling.
#pragma once

#include <string>
#include <string_view>

namespace quarot::tokenizer {

// Each set is the inside of a bracket expression: put [ ] or [^ ] around it.
class RegexClasses {
  public:
    // Without the characters that PCRE2 does not know the sets are much shorter, and right for
    // texts without such characters.
    explicit RegexClasses(bool with_newer) : with_newer_(with_newer) {}

    std::string words() const;              // \w
    std::string words_in_brackets() const;  // \w among others, which is less
    std::string spaces() const;             // \s
    std::string non_spaces() const;         // \S
    // \p{name}: a general category or a script; empty if it is none that we have.
    std::string property(std::string_view name) const;

  private:
    std::string newer_of(std::string_view name, bool all_that_begin_so) const;

    bool with_newer_;
};

// Whether a valid UTF-8 text has characters that PCRE2 does not know.
bool has_newer_characters(std::string_view text);

// One character, wherever it stands.
std::string escaped(char32_t code);

}  // namespace quarot::tokenizer
