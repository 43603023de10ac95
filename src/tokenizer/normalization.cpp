// utf8proc knows the characters; decomposing and ordering is done here, because its own ordering is
// quadratic in a run of combining marks, and composing by it, a stretch at a time.
#include "tokenizer/normalization.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <numeric>
#include <utility>
#include <vector>

#include "core/check.h"
#include "tokenizer/code_ranges.h"
#include "tokenizer/unicode.h"

namespace quarot::tokenizer {
namespace {

constexpr CodeRange kNewerCharacters[] = {
#include "tokenizer/newer_characters.inc"
};

using Codes = std::vector<utf8proc_int32_t>;

bool is_newer(char32_t code) {
    return code >= kNewerCharacters[0].first && holds(kNewerCharacters, code);
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

// Appends the form of what is decomposed in `codes`, and empties them.
void append_form(Codes& codes, NormalForm form, std::string& out) {
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

void decompose_all(std::string_view text, NormalForm form, Codes& codes) {
    for (size_t at = 0; at < text.size();) {
        const Character next = character_at(text, at);
        decompose(next.code, form, codes);
        at = next.end;
    }
}

bool is_within_character(std::string_view text, size_t at) {
    return (static_cast<uint8_t>(text[at]) & 0xC0) == 0x80;
}

// Characters that may compose have one form together, so a border among them has a place in it only
// if both sides by themselves have the same form as together, or one of the same length.
void move_borders(std::string_view text, size_t begin, size_t end, NormalForm form,
                  size_t new_begin, size_t new_end, RangeMover& ranges) {
    std::vector<size_t> borders = ranges.borders_before(end);
    borders.push_back(end);
    std::vector<std::pair<size_t, size_t>> ends;  // of the parts, in both texts
    Codes codes;
    std::string part;
    size_t done = begin;
    size_t new_done = new_begin;
    for (const size_t border : borders) {
        if (border <= done || (border < end && is_within_character(text, border))) continue;
        decompose_all(text.substr(done, border - done), form, codes);
        part.clear();
        append_form(codes, form, part);
        done = border;
        new_done += part.size();
        ends.emplace_back(done, new_done);
    }
    if (new_done == new_end) {
        for (const auto& [old_border, new_border] : ends) ranges.rewritten(old_border, new_border);
    }
    ranges.rewritten(end, new_end);
}

}  // namespace

size_t growth(NormalForm form) {
    return is_compatible(form) ? 11 : 3;
}

std::string normalize(std::string_view text, NormalForm form, RangeMover& ranges) {
    const char32_t changed = first_changed(form);
    std::string out;
    out.reserve(text.size());
    Codes codes;       // from a character on with which later ones may compose
    size_t begin = 0;  // of what they come from
    const auto flush = [&](size_t end) {
        if (codes.empty()) return;
        const size_t new_begin = out.size();
        append_form(codes, form, out);
        move_borders(text, begin, end, form, new_begin, out.size(), ranges);
    };
    for (size_t at = 0; at < text.size();) {
        const Character next = character_at(text, at);
        const bool newer = is_newer(next.code);
        const bool plain = next.code < changed;
        // Neither kind takes part in what stands before it.
        if (newer || plain) flush(at);
        const bool alone = next.end == text.size() || character_at(text, next.end).code < changed;
        if (newer || (plain && alone)) {
            out += text.substr(at, next.end - at);
            ranges.copied(next.end, out.size());
        } else {
            if (codes.empty()) begin = at;
            decompose(next.code, form, codes);
        }
        at = next.end;
    }
    flush(text.size());
    return out;
}

}  // namespace quarot::tokenizer
