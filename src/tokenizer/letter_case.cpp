// Characters that have got a lower case since the Unicode version of utf8proc are in a table.
#include "tokenizer/letter_case.h"

#include <utf8proc.h>

#include <algorithm>
#include <iterator>

#include "tokenizer/unicode.h"

namespace quarot::tokenizer {
namespace {

constexpr char32_t kCapitalDottedI = 0x130;
constexpr std::string_view kItsLowerCase = "i\xCC\x87";  // i and U+0307

struct Pair {
    char32_t upper;
    char32_t lower;
};

constexpr Pair kNewer[] = {
#include "tokenizer/newer_lower_case.inc"
};

char32_t lower_case_of(char32_t code) {
    if (code >= kNewer[0].upper) {
        const auto* found = std::lower_bound(
            std::begin(kNewer), std::end(kNewer), code,
            [](const Pair& candidate, char32_t wanted) { return candidate.upper < wanted; });
        if (found != std::end(kNewer) && found->upper == code) return found->lower;
    }
    return static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(code)));
}

}  // namespace

std::string lower_case(std::string_view text, RangeMover& ranges) {
    std::string out;
    out.reserve(text.size());
    for (size_t at = 0; at < text.size();) {
        const Character next = character_at(text, at);
        if (next.code == kCapitalDottedI) {
            out += kItsLowerCase;
        } else if (next.code < 0x80) {
            const bool upper = next.code >= 'A' && next.code <= 'Z';
            out.push_back(static_cast<char>(next.code + (upper ? 'a' - 'A' : 0)));
        } else {
            append_utf8(out, lower_case_of(next.code));
        }
        at = next.end;
        ranges.rewritten(at, out.size());
    }
    return out;
}

}  // namespace quarot::tokenizer
