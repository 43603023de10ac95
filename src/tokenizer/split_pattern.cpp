// Each branch below is one alternative of the expression, tried in its order. Backtracking is
// needed in whitespace only, and there its outcome is known from the run's last newline and last
// character.
#include "tokenizer/split_pattern.h"

#include "tokenizer/unicode.h"

namespace quarot::tokenizer {
namespace {

constexpr std::string_view kGpt2 =
    R"re('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)re";
constexpr std::string_view kLlama3 =
    R"re((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)re";
constexpr std::string_view kQwen2 =
    R"re((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)re";

constexpr std::string_view kLongS = "\xC5\xBF";  // U+017F, which case folding makes an s

// What these expressions tell apart.
enum class Kind { Letter, Number, Space, Other };

Kind kind_of(char32_t code) {
    const Category found = category(code);
    if (is_letter(found)) return Kind::Letter;
    if (found == Category::Number) return Kind::Number;
    return found == Category::Space ? Kind::Space : Kind::Other;
}

size_t end_of_run(std::string_view text, size_t at, Kind wanted) {
    while (at < text.size()) {
        const Character next = character_at(text, at);
        if (kind_of(next.code) != wanted) break;
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
    if (text[at] != '\'') return at;
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
    const size_t last = at + last_character(text.substr(at, run_end - at));
    return last > at ? last : run_end;
}

size_t match_gpt2(std::string_view text, size_t at) {
    const size_t contraction = end_of_contraction(text, at, false);
    if (contraction > at) return contraction;
    const size_t start = text[at] == ' ' && at + 1 < text.size() ? at + 1 : at;
    const Kind first = kind_of(character_at(text, start).code);
    if (first != Kind::Space) return end_of_run(text, start, first);
    return end_of_whitespace(text, at, end_of_run(text, at, Kind::Space));
}

// [^\r\n\p{L}\p{N}]?\p{L}+ , or `at`.
size_t end_of_word(std::string_view text, size_t at) {
    const Character first = character_at(text, at);
    const Kind kind = kind_of(first.code);
    if (kind == Kind::Letter) return end_of_run(text, first.end, Kind::Letter);
    if (kind == Kind::Number || is_newline(text[at])) return at;
    const size_t end = end_of_run(text, first.end, Kind::Letter);
    return end > first.end ? end : at;
}

// \p{N}{1,limit} , or `at`.
size_t end_of_number(std::string_view text, size_t at, int limit) {
    for (int count = 0; count < limit && at < text.size(); ++count) {
        const Character next = character_at(text, at);
        if (kind_of(next.code) != Kind::Number) break;
        at = next.end;
    }
    return at;
}

// " ?[^\s\p{L}\p{N}]+[\r\n]*" , or `at`.
size_t end_of_symbols(std::string_view text, size_t at) {
    const size_t start = text[at] == ' ' ? at + 1 : at;
    size_t end = end_of_run(text, start, Kind::Other);
    if (end == start) return at;
    while (end < text.size() && is_newline(text[end])) ++end;
    return end;
}

size_t match_llama3(std::string_view text, size_t at, int longest_number) {
    if (size_t end = end_of_contraction(text, at, true); end > at) return end;
    if (size_t end = end_of_word(text, at); end > at) return end;
    if (size_t end = end_of_number(text, at, longest_number); end > at) return end;
    if (size_t end = end_of_symbols(text, at); end > at) return end;
    const size_t run_end = end_of_run(text, at, Kind::Space);
    for (size_t end = run_end; end > at; --end) {
        if (is_newline(text[end - 1])) return end;
    }
    return end_of_whitespace(text, at, run_end);
}

}  // namespace

std::optional<SplitPattern> SplitPattern::known(std::string_view regex) {
    if (regex == kGpt2) return gpt2();
    if (regex == kLlama3) return SplitPattern(Family::Llama3, 3);
    if (regex == kQwen2) return SplitPattern(Family::Llama3, 1);
    return std::nullopt;
}

size_t SplitPattern::match(std::string_view text, size_t at) const {
    return family_ == Family::Gpt2 ? match_gpt2(text, at) : match_llama3(text, at, longest_number_);
}

}  // namespace quarot::tokenizer
