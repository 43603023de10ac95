// Each function below is one alternative of an expression, and match() tries them in its order.
// Backtracking is needed in whitespace and in words cut by letter case, and in both its outcome is
// known from a run's last newline, last character, or last letter without case.
#include "tokenizer/split_pattern.h"

#include <limits>

#include "tokenizer/unicode.h"

namespace quarot::tokenizer {
namespace {

using Words = SplitRules::Words;
using Contractions = SplitRules::Contractions;

struct Known {
    std::string_view regex;
    SplitRules rules;
};

constexpr SplitRules kGpt2{.words = Words::AfterSpace, .contractions = Contractions::InFront};

// Spellings as they stand in tokenizer files and in the programs that write them. A plus behind
// "{1,3}" repeats it: it makes other quantifiers possessive, but not this one.
constexpr Known kKnown[] = {
    {R"re('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)re", kGpt2},
    {R"re('(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)re", kGpt2},
    {R"re('(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s)re",
     kGpt2},
    {R"re((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3})re"
     R"re(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)re",
     {.longest_number = 3}},
    {R"re((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N})re"
     R"re(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)re",
     {.longest_number = 1}},
    {R"re((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N})re"
     R"re(| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)re",
     {.words = Words::WithMarks, .longest_number = 1}},
    {R"re('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3})re"
     R"re(| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+)re",
     {.longest_number = 3}},
    {R"re('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,2})re"
     R"re(| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+)re",
     {.longest_number = 2}},
    {R"re('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+)re"
     R"re(| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s)re",
     {.last_spaces_whole = true}},
    {R"re([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+)re"
     R"re((?i:'s|'t|'re|'ve|'m|'ll|'d)?)re"
     R"re(|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*)re"
     R"re((?i:'s|'t|'re|'ve|'m|'ll|'d)?)re"
     R"re(|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)re",
     {.words = Words::ByLetterCase,
      .contractions = Contractions::BehindAnyCase,
      .longest_number = 3,
      .symbols_take_slash = true}},
    {R"re([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+)re"
     R"re(|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N})re"
     R"re(| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)re",
     {.words = Words::ByLetterCase,
      .contractions = Contractions::None,
      .longest_number = 1,
      .symbols_take_slash = true}},
};

constexpr std::string_view kLongS = "\xC5\xBF";  // U+017F, which case folding makes an s

// What these expressions tell apart. Marks are letters in Words::WithMarks and Other elsewhere.
enum class Kind { Letter, Number, Space, Other };

Kind kind_of(char32_t code, Words words) {
    const Category found = category(code);
    if (is_letter(found)) return Kind::Letter;
    if (found == Category::Mark && words == Words::WithMarks) return Kind::Letter;
    if (found == Category::Number) return Kind::Number;
    return found == Category::Space ? Kind::Space : Kind::Other;
}

size_t end_of_run(std::string_view text, size_t at, Kind wanted, Words words,
                  size_t most = std::numeric_limits<size_t>::max()) {
    for (size_t count = 0; at < text.size() && count < most; ++count) {
        const Character next = character_at(text, at);
        if (kind_of(next.code, words) != wanted) break;
        at = next.end;
    }
    return at;
}

bool is_newline(char c) {
    return c == '\r' || c == '\n';
}

char fold_case(char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

// The end of 's 't 're 've 'm 'll 'd at `at`, or `at` if there is none.
size_t end_of_contraction(std::string_view text, size_t at, bool ignore_case) {
    if (at == text.size() || text[at] != '\'') return at;
    const std::string_view rest = text.substr(at + 1);
    if (ignore_case && rest.starts_with(kLongS)) return at + 1 + kLongS.size();
    const auto letter = [&](size_t i) {
        if (i >= rest.size()) return '\0';
        return ignore_case ? fold_case(rest[i]) : rest[i];
    };
    switch (letter(0)) {
        case 's':
        case 't':
        case 'm':
        case 'd':
            return at + 2;
        case 'r':
        case 'v':
            return letter(1) == 'e' ? at + 3 : at;
        case 'l':
            return letter(1) == 'l' ? at + 3 : at;
        default:
            return at;
    }
}

// \s+(?!\S)|\s+ : a run of spaces leaves its last character to what follows, if it has two.
size_t end_of_whitespace(std::string_view text, size_t at, size_t run_end) {
    if (run_end == text.size()) return run_end;
    const size_t last = character_before(text, run_end);
    return last > at ? last : run_end;
}

size_t match_after_space(std::string_view text, size_t at, const SplitRules& rules) {
    const size_t contraction = end_of_contraction(text, at, false);
    if (contraction > at) return contraction;
    const size_t start = text[at] == ' ' && at + 1 < text.size() ? at + 1 : at;
    const Kind first = kind_of(character_at(text, start).code, rules.words);
    if (first != Kind::Space) return end_of_run(text, start, first, rules.words);
    return end_of_whitespace(text, at, end_of_run(text, at, Kind::Space, rules.words));
}

// [^\r\n\p{L}\p{N}]? , or `at`.
size_t end_of_prefix(std::string_view text, size_t at) {
    const Character first = character_at(text, at);
    const Category kind = category(first.code);
    const bool excluded = is_letter(kind) || kind == Category::Number || is_newline(text[at]);
    return excluded ? at : first.end;
}

// Letters behind what may stand in front of them, or `at`.
size_t end_of_word(std::string_view text, size_t at, Words words) {
    const size_t start = end_of_prefix(text, at);
    const size_t end = end_of_run(text, start, Kind::Letter, words);
    if (end > start) return end;
    return start > at ? end_of_run(text, at, Kind::Letter, words) : at;
}

bool may_be_upper(Category kind) {
    return kind != Category::LowerLetter && (is_letter(kind) || kind == Category::Mark);
}

bool may_be_lower(Category kind) {
    return kind != Category::UpperLetter && (is_letter(kind) || kind == Category::Mark);
}

// [upper]*[lower]+|[upper]+[lower]* , where letters without case are both, or `at`. If no lower
// case follows the first run, its last letter without case is what [lower]+ gets.
size_t end_of_cased_letters(std::string_view text, size_t at) {
    size_t upper_end = at;
    size_t caseless_end = at;
    while (upper_end < text.size()) {
        const Character next = character_at(text, upper_end);
        const Category kind = category(next.code);
        if (!may_be_upper(kind)) break;
        upper_end = next.end;
        if (may_be_lower(kind)) caseless_end = next.end;
    }
    size_t end = upper_end;
    while (end < text.size()) {
        const Character next = character_at(text, end);
        if (!may_be_lower(category(next.code))) break;
        end = next.end;
    }
    return end == upper_end && caseless_end > at ? caseless_end : end;
}

size_t end_of_cased_word(std::string_view text, size_t at, Contractions contractions) {
    const size_t start = end_of_prefix(text, at);
    size_t end = end_of_cased_letters(text, start);
    if (end == start) end = at;
    if (end == at && start > at) end = end_of_cased_letters(text, at);
    if (end == at || contractions != Contractions::BehindAnyCase) return end;
    return end_of_contraction(text, end, true);
}

// " ?[^\s\p{L}\p{N}]+[\r\n]*" , or `at`.
size_t end_of_symbols(std::string_view text, size_t at, const SplitRules& rules) {
    const size_t start = text[at] == ' ' ? at + 1 : at;
    size_t end = end_of_run(text, start, Kind::Other, rules.words);
    if (end == start) return at;
    const auto goes_on = [&](char c) {
        return is_newline(c) || (c == '/' && rules.symbols_take_slash);
    };
    while (end < text.size() && goes_on(text[end])) ++end;
    return end;
}

// \s*[\r\n]+|\s+(?!\S)|\s+
size_t end_of_spaces(std::string_view text, size_t at, const SplitRules& rules) {
    const size_t run_end = end_of_run(text, at, Kind::Space, rules.words);
    if (rules.last_spaces_whole && run_end == text.size()) return run_end;
    for (size_t end = run_end; end > at; --end) {
        if (is_newline(text[end - 1])) return end;
    }
    return end_of_whitespace(text, at, run_end);
}

size_t match_after_any(std::string_view text, size_t at, const SplitRules& rules) {
    if (rules.contractions == Contractions::InFrontAnyCase) {
        if (size_t end = end_of_contraction(text, at, true); end > at) return end;
    }
    const size_t word = rules.words == Words::ByLetterCase
                            ? end_of_cased_word(text, at, rules.contractions)
                            : end_of_word(text, at, rules.words);
    if (word > at) return word;
    const auto most = rules.longest_number == 0 ? std::numeric_limits<size_t>::max()
                                                : static_cast<size_t>(rules.longest_number);
    const size_t number = end_of_run(text, at, Kind::Number, rules.words, most);
    if (number > at) return number;
    if (size_t end = end_of_symbols(text, at, rules); end > at) return end;
    return end_of_spaces(text, at, rules);
}

}  // namespace

SplitPattern SplitPattern::gpt2() {
    return SplitPattern(kGpt2);
}

std::optional<SplitPattern> SplitPattern::known(std::string_view regex) {
    for (const Known& known : kKnown) {
        if (known.regex == regex) return SplitPattern(known.rules);
    }
    return std::nullopt;
}

size_t SplitPattern::match(std::string_view text, size_t at) const {
    return rules_.words == Words::AfterSpace ? match_after_space(text, at, rules_)
                                             : match_after_any(text, at, rules_);
}

}  // namespace quarot::tokenizer
