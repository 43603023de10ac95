// The split patterns that tokenizer files carry as regular expressions, recognised by their exact
// text: where does the piece that begins here end? Linear in the text, unlike a general engine.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

namespace quarot::tokenizer {

// How the known expressions differ.
struct SplitRules {
    enum class Words {
        AfterSpace,    // " ?\p{L}+", numbers and symbols likewise: GPT-2
        AfterAny,      // "[^\r\n\p{L}\p{N}]?\p{L}+": Llama-3
        WithMarks,     // "[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+": Qwen3.5
        ByLetterCase,  // upper case then lower case, one of them perhaps empty: o200k
    };
    enum class Contractions { None, InFront, InFrontAnyCase, BehindAnyCase };

    Words words = Words::AfterAny;
    Contractions contractions = Contractions::InFrontAnyCase;
    int longest_number = 0;           // characters of one piece of digits; 0: no limit
    bool symbols_take_slash = false;  // "/" among the newlines behind symbols
    bool last_spaces_whole = false;   // the text's last whitespace is one piece, newlines and all
};

class SplitPattern {
  public:
    // Empty if the expression is none of the known ones.
    static std::optional<SplitPattern> known(std::string_view regex);
    // The pattern that ByteLevel applies with use_regex.
    static SplitPattern gpt2();

    // The end of the match that begins at `at` < text.size(); the text is valid UTF-8. Matches are
    // never empty and follow each other without gaps.
    size_t match(std::string_view text, size_t at) const;

  private:
    explicit SplitPattern(SplitRules rules) : rules_(rules) {}

    SplitRules rules_;
};

}  // namespace quarot::tokenizer
