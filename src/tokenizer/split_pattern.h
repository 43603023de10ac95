// The split patterns that tokenizer files carry as regular expressions, recognised by their exact
// text: where does the piece that begins here end? Linear in the text, unlike a general engine.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

namespace quarot::tokenizer {

class SplitPattern {
  public:
    // Empty if the expression is none of the known ones.
    static std::optional<SplitPattern> known(std::string_view regex);
    // The pattern that ByteLevel applies with use_regex.
    static SplitPattern gpt2() { return SplitPattern(Family::Gpt2, 0); }

    // The end of the match that begins at `at` < text.size(); the text is valid UTF-8. Matches are
    // never empty and follow each other without gaps.
    size_t match(std::string_view text, size_t at) const;

  private:
    enum class Family { Gpt2, Llama3 };
    SplitPattern(Family family, int longest_number)
        : family_(family), longest_number_(longest_number) {}

    Family family_;
    int longest_number_;  // characters of one piece of digits, in Family::Llama3
};

}  // namespace quarot::tokenizer
