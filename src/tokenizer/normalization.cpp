// utf8proc knows the characters; decomposing and ordering is done here, because its own ordering is
// quadratic in a run of combining marks, and composing by it, a stretch at a time.
#include "tokenizer/normalization.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <iterator>
#include <numeric>
#include <vector>

#include "core/check.h"
#include "tokenizer/unicode.h"

namespace quarot::tokenizer {
namespace {

struct Range {
    char32_t first;
    char32_t last;
};

constexpr Range kNewer[] = {
#include "tokenizer/newer_characters.inc"
};

using Codes = std::vector<utf8proc_int32_t>;

bool is_newer(char32_t code) {
    if (code < kNewer[0].first) return false;
    const auto* range = std::upper_bound(
        std::begin(kNewer), std::end(kNewer), code,
        [](char32_t wanted, const Range& candidate) { return wanted < candidate.first; });
    return range != std::begin(kNewer) && code <= std::prev(range)->last;
}

bool composes(NormalForm form) {
    return form == NormalForm::C || form == NormalForm::KC;
}

bool is_compatible(NormalForm form) {
    return form == NormalForm::KC || form == NormalForm::KD;
}

utf8proc_propval_t combining_class(utf8proc_int32_t code) {
    return utf8proc_get_property(code)->combining_class;
}

// Below these characters a form changes nothing, neither alone nor beside others of theirs.
char32_t first_changed(NormalForm form) {
    return form == NormalForm::C ? 0x300 : form == NormalForm::D ? 0xC0 : 0xA0;
}

void decompose(char32_t code, NormalForm form, Codes& codes) {
    const int options =
        UTF8PROC_DECOMPOSE | UTF8PROC_STABLE | (is_compatible(form) ? UTF8PROC_COMPAT : 0);
    std::array<utf8proc_int32_t, 32> parts{};
    int unused = 0;
    const utf8proc_ssize_t count =
        utf8proc_decompose_char(static_cast<utf8proc_int32_t>(code), parts.data(), parts.size(),
                                static_cast<utf8proc_option_t>(options), &unused);
    QUAROT_CHECK(count >= 0 && count <= static_cast<utf8proc_ssize_t>(parts.size()));
    codes.insert(codes.end(), parts.begin(), parts.begin() + count);
}

// By class, those of one class in the order they had; counting, so that time is linear.
void order_run(Codes::iterator begin, Codes::iterator end) {
    std::array<size_t, 257> places{};
    for (auto at = begin; at != end; ++at) ++places[combining_class(*at) + size_t{1}];
    std::partial_sum(places.begin(), places.end(), places.begin());
    const Codes run(begin, end);
    for (const utf8proc_int32_t code : run) {
        begin[static_cast<std::ptrdiff_t>(places[combining_class(code)]++)] = code;
    }
}

void order_marks(Codes& codes) {
    const auto lower = [](utf8proc_int32_t a, utf8proc_int32_t b) {
        return combining_class(a) < combining_class(b);
    };
    for (auto at = codes.begin(); at != codes.end();) {
        if (combining_class(*at) == 0) {
            ++at;
            continue;
        }
        const auto end = std::find_if(
            at, codes.end(), [](utf8proc_int32_t code) { return combining_class(code) == 0; });
        if (!std::is_sorted(at, end, lower)) order_run(at, end);
        at = end;
    }
}

// Appends what is collected in `codes`, and empties it.
void flush(NormalForm form, Codes& codes, std::string& out) {
    if (codes.empty()) return;
    order_marks(codes);
    auto count = static_cast<utf8proc_ssize_t>(codes.size());
    if (composes(form)) {
        count = utf8proc_normalize_utf32(
            codes.data(), count,
            static_cast<utf8proc_option_t>(UTF8PROC_COMPOSE | UTF8PROC_STABLE));
        QUAROT_CHECK(count >= 0);
    }
    for (utf8proc_ssize_t i = 0; i < count; ++i) {
        append_utf8(out, static_cast<char32_t>(codes[static_cast<size_t>(i)]));
    }
    codes.clear();
}

}  // namespace

size_t growth(NormalForm form) {
    return is_compatible(form) ? 11 : 3;
}

std::string normalize(std::string_view text, NormalForm form) {
    const char32_t changed = first_changed(form);
    std::string out;
    out.reserve(text.size());
    Codes codes;  // from a character on with which later ones may compose
    for (size_t at = 0; at < text.size();) {
        const Character next = character_at(text, at);
        const bool newer = is_newer(next.code);
        const bool plain = next.code < changed;
        // Neither kind takes part in what stands before it.
        if (newer || plain) flush(form, codes, out);
        const bool alone = next.end == text.size() || character_at(text, next.end).code < changed;
        if (newer || (plain && alone)) {
            out += text.substr(at, next.end - at);
        } else {
            decompose(next.code, form, codes);
        }
        at = next.end;
    }
    flush(form, codes, out);
    return out;
}

}  // namespace quarot::tokenizer
