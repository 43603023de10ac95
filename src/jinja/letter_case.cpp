// How do whole texts look in upper, lower and title case? As Python's str methods give them.
#include <utf8proc.h>

#include <algorithm>
#include <iterator>

#include "jinja/unicode.h"

namespace quarot::jinja {
namespace {

struct Expansion {
    int32_t code;
    const char* upper;
    const char* title;
};

constexpr Expansion kExpansions[] = {
#include "jinja/case_expansions.inc"
};

const Expansion* expansion_of(int32_t code) {
    const auto* found = std::lower_bound(std::begin(kExpansions), std::end(kExpansions), code,
                                         [](const Expansion& e, int32_t c) { return e.code < c; });
    return found != std::end(kExpansions) && found->code == code ? found : nullptr;
}

constexpr int32_t kCapitalSigma = 0x3A3;
constexpr int32_t kFinalSigma = 0x3C2;

// Characters that do not end a word: marks, modifiers, and punctuation inside words.
bool is_case_ignorable(int32_t code) {
    for (int32_t inside : {0x27, 0x2E, 0x3A, 0xB7, 0x2019, 0x2018, 0x2024, 0x2027}) {
        if (code == inside) return true;
    }
    switch (utf8proc_category(code)) {
        case UTF8PROC_CATEGORY_MN:
        case UTF8PROC_CATEGORY_ME:
        case UTF8PROC_CATEGORY_CF:
        case UTF8PROC_CATEGORY_LM:
        case UTF8PROC_CATEGORY_SK:
            return true;
        default:
            return false;
    }
}

// A sigma is final if a cased letter stands before it and none after it.
bool is_final_sigma(std::string_view all, size_t at, size_t after) {
    constexpr int kReach = 32;  // of ignorable characters, so that the cost stays linear
    bool before = false;
    for (int i = 0; i < kReach && at > 0; ++i) {
        at = character_before(all, at);
        const int32_t code = character_at(all, at).code;
        if (is_case_ignorable(code)) continue;
        before = is_cased(code);
        break;
    }
    for (int i = 0; i < kReach && before && after < all.size(); ++i) {
        const Character next = character_at(all, after);
        if (!is_case_ignorable(next.code)) return !is_cased(next.code);
        after = next.end;
    }
    return before;
}

std::string lower_in(std::string_view all, size_t at, const Character& c) {
    if (c.code == 0x130) return "i\xCC\x87";
    std::string out;
    const bool final = c.code == kCapitalSigma && is_final_sigma(all, at, c.end);
    append_utf8(out, static_cast<char32_t>(final ? kFinalSigma : utf8proc_tolower(c.code)));
    return out;
}

// Rewrites character by character: change(all, at, code point) gives what replaces it.
template <typename Change>
Text rewrite(const Text& text, Change change) {
    Text out;
    const std::string_view all = text.bytes();
    size_t at = 0;
    text.for_each_stretch([&](std::string_view stretch, bool user) {
        std::string changed;
        changed.reserve(stretch.size());
        for (const size_t end = at + stretch.size(); at < end;) {
            const Character c = character_at(all, at);
            changed += change(all, at, c);
            at = c.end;
        }
        out.append(changed, user);
    });
    return out;
}

}  // namespace

std::string upper_of(int32_t code) {
    if (const Expansion* expansion = expansion_of(code)) return expansion->upper;
    std::string out;
    append_utf8(out, static_cast<char32_t>(utf8proc_toupper(code)));
    return out;
}

std::string title_of(int32_t code) {
    if (const Expansion* expansion = expansion_of(code)) return expansion->title;
    std::string out;
    append_utf8(out, static_cast<char32_t>(utf8proc_totitle(code)));
    return out;
}

Text to_upper(const Text& text) {
    return rewrite(text,
                   [](std::string_view, size_t, const Character& c) { return upper_of(c.code); });
}

Text to_lower(const Text& text) {
    return rewrite(text, lower_in);
}

Text capitalized(const Text& text) {
    return rewrite(text, [](std::string_view all, size_t at, const Character& c) {
        return at == 0 ? title_of(c.code) : lower_in(all, at, c);
    });
}

Text words_capitalized(const Text& text) {
    bool inside = false;
    return rewrite(text, [&](std::string_view all, size_t at, const Character& c) {
        std::string changed = inside ? lower_in(all, at, c) : title_of(c.code);
        inside = is_cased(c.code);
        return changed;
    });
}

}  // namespace quarot::jinja
