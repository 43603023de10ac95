// What do the methods of strings give? What those of Python's str give.
#include <algorithm>
#include <iterator>
#include <string_view>

#include "core/error.h"
#include "jinja/compare.h"
#include "jinja/format.h"
#include "jinja/methods.h"
#include "jinja/parameters.h"
#include "jinja/spell.h"
#include "jinja/text_tools.h"
#include "jinja/unicode.h"

namespace quarot::jinja {
namespace {

void no_keywords(const char* method, const Arguments& args) {
    if (!args.named.empty()) fail(ErrorCode::Corrupt, "{} takes no keyword arguments", method);
}

template <Text (*Change)(const Text&)>
Value changed(Runtime& runtime, const char* called, const Text& self, const Arguments& args) {
    const Parameters p(called, args, {});
    runtime.budget.allocate(self.size());
    return make_text(runtime.budget, Change(self));
}

template <bool Left, bool Right>
Value strip(Runtime& runtime, const char* called, const Text& self, const Arguments& args) {
    no_keywords(called, args);
    const Parameters p(called, args, {"chars"});
    return make_text(runtime.budget,
                     stripped(runtime.budget, self, p.optional_text(0), Left, Right));
}

template <bool FromRight>
Value split(Runtime& runtime, const char* called, const Text& self, const Arguments& args) {
    const Parameters p(called, args, {"sep", "maxsplit"});
    const Text* separator = p.optional_text(0);
    const int64_t max_count = p.integer(1, -1);
    std::vector<Text> parts =
        separator ? pieces_of(runtime.budget, self, *separator, max_count, FromRight)
                  : words_of(runtime.budget, self, max_count, FromRight);
    return make_list(runtime.budget, as_values(runtime.budget, std::move(parts)));
}

Value splitlines(Runtime& runtime, const char* called, const Text& self, const Arguments& args) {
    const Parameters p(called, args, {"keepends"});
    if (p.flag(0, false)) fail(ErrorCode::Unsupported, "{}(keepends) is not supported", called);
    return make_list(runtime.budget, as_values(runtime.budget, lines_of(runtime.budget, self)));
}

template <bool FromRight>
Value partition(Runtime& runtime, const char* called, const Text& self, const Arguments& args) {
    no_keywords(called, args);
    const Parameters p(called, args, {"sep"}, 1);
    const Text& separator = p.text(0);
    std::vector<Text> pieces = pieces_of(runtime.budget, self, separator, 1, FromRight);
    if (pieces.size() == 2) {
        pieces.insert(pieces.begin() + 1, separator);
    } else {
        pieces.insert(FromRight ? pieces.begin() : pieces.end(), {Text(), Text()});
    }
    return make_tuple(runtime.budget, as_values(runtime.budget, std::move(pieces)));
}

// The part of the text between the characters `start` and `end` (indices as in a slice).
struct Window {
    size_t begin = 0;  // bytes
    size_t end = 0;
    bool valid = true;  // false if start lies behind the end
};

Window window_of(const Text& self, const Parameters& p, size_t first) {
    const auto size = static_cast<int64_t>(count_characters(self.bytes()));
    const auto bound = [&](size_t index, int64_t otherwise) {
        const int64_t given = p.optional_integer(index).value_or(otherwise);
        return given < 0 ? std::max<int64_t>(0, given + size) : given;
    };
    const int64_t start = bound(first, 0);
    const int64_t end = std::min(bound(first + 1, size), size);
    if (start > end) return {0, 0, false};
    return {byte_of_character(self.bytes(), static_cast<size_t>(start)),
            byte_of_character(self.bytes(), static_cast<size_t>(end)), true};
}

template <bool FromRight>
int64_t position_of(Runtime& runtime, const char* called, const Text& self, const Arguments& args) {
    no_keywords(called, args);
    const Parameters p(called, args, {"sub", "start", "end"}, 1);
    const std::string& needle = p.text(0).bytes();
    runtime.budget.scan(self.size() + needle.size());
    const Window window = window_of(self, p, 1);
    if (!window.valid) return -1;
    const std::string_view searched =
        std::string_view(self.bytes()).substr(window.begin, window.end - window.begin);
    const size_t at = FromRight ? find_last_bytes(searched, needle, searched.size())
                                : find_bytes(searched, needle);
    if (at == std::string_view::npos) return -1;
    return static_cast<int64_t>(
        count_characters(std::string_view(self.bytes()).substr(0, window.begin + at)));
}

template <bool FromRight>
Value find(Runtime& runtime, const char* called, const Text& self, const Arguments& args) {
    return position_of<FromRight>(runtime, called, self, args);
}

template <bool FromRight>
Value index(Runtime& runtime, const char* called, const Text& self, const Arguments& args) {
    const int64_t at = position_of<FromRight>(runtime, called, self, args);
    if (at < 0) fail(ErrorCode::Corrupt, "{} does not find the string", called);
    return at;
}

Value count(Runtime& runtime, const char* called, const Text& self, const Arguments& args) {
    no_keywords(called, args);
    const Parameters p(called, args, {"sub", "start", "end"}, 1);
    const Window window = window_of(self, p, 1);
    if (!window.valid) return int64_t{0};
    const std::string_view all = std::string_view(self.bytes()).substr(0, window.end);
    const std::string& needle = p.text(0).bytes();
    if (needle.empty()) {
        return static_cast<int64_t>(count_characters(all.substr(window.begin))) + 1;
    }
    runtime.budget.scan(self.size() + needle.size());
    int64_t found = 0;
    for (size_t at = find_bytes(all, needle, window.begin); at != std::string_view::npos;
         at = find_bytes(all, needle, at + needle.size())) {
        ++found;
    }
    return found;
}

template <bool AtEnd>
Value starts(Runtime& runtime, const char* called, const Text& self, const Arguments& args) {
    no_keywords(called, args);
    const Parameters p(called, args, {"affix", "start", "end"}, 1);
    const Window window = window_of(self, p, 1);
    const std::string_view part =
        std::string_view(self.bytes()).substr(window.begin, window.end - window.begin);
    const auto fits = [&](const Text& affix) {
        if (!window.valid) return false;
        runtime.budget.scan(std::min(part.size(), affix.size()));
        return AtEnd ? part.ends_with(affix.bytes()) : part.starts_with(affix.bytes());
    };
    const Sequence* several = p[0].sequence();
    if (!several || several->flavor != Sequence::Flavor::Tuple) return fits(p.text(0));
    for (const Value& affix : several->items) {
        runtime.budget.step();
        if (!affix.text()) {
            fail(ErrorCode::Corrupt, "{} takes strings, not a {}", called, affix.type_name());
        }
        if (fits(*affix.text())) return true;
    }
    return false;
}

template <bool AtEnd>
Value remove_affix(Runtime& runtime, const char* called, const Text& self, const Arguments& args) {
    no_keywords(called, args);
    const Parameters p(called, args, {"affix"}, 1);
    const std::string& affix = p.text(0).bytes();
    const bool fits = AtEnd ? self.bytes().ends_with(affix) : self.bytes().starts_with(affix);
    const size_t cut = fits ? affix.size() : 0;
    return make_text(runtime.budget,
                     AtEnd ? self.slice(0, self.size() - cut) : self.slice(cut, self.size()));
}

Value replace(Runtime& runtime, const char* called, const Text& self, const Arguments& args) {
    no_keywords(called, args);
    const Parameters p(called, args, {"old", "new", "count"}, 2);
    return make_text(runtime.budget,
                     replaced(runtime.budget, self, p.text(0), p.text(1), p.integer(2, -1)));
}

Value join(Runtime& runtime, const char* called, const Text& self, const Arguments& args) {
    no_keywords(called, args);
    const Parameters p(called, args, {"iterable"}, 1);
    const SequencePtr items = iterate(runtime.budget, p[0]);
    for (const Value& item : items->items) {
        if (!item.text()) {
            fail(ErrorCode::Corrupt, "{} takes strings, not a {}", called, item.type_name());
        }
    }
    return make_text(runtime.budget, joined(runtime.budget, self, items->items));
}

template <Align Side>
Value align(Runtime& runtime, const char* called, const Text& self, const Arguments& args) {
    no_keywords(called, args);
    const Parameters p(called, args, {"width", "fillchar"}, 1);
    const Text filler = p.has(1) ? p.text(1) : Text(" ");
    if (const size_t count = count_characters(filler.bytes()); count != 1) {
        fail(ErrorCode::Corrupt, "the fillchar of {} has {} characters, expected 1", called, count);
    }
    return make_text(runtime.budget, aligned(runtime.budget, self, p.integer(0, 0), Side, filler));
}

Value zfill(Runtime& runtime, const char* called, const Text& self, const Arguments& args) {
    no_keywords(called, args);
    const Parameters p(called, args, {"width"}, 1);
    const bool has_sign = !self.empty() && (self.bytes()[0] == '-' || self.bytes()[0] == '+');
    Text out = self.slice(0, has_sign ? 1 : 0);
    const int64_t width = std::max<int64_t>(0, p.integer(0, 0)) - (has_sign ? 1 : 0);
    out.append(aligned(runtime.budget, self.slice(has_sign ? 1 : 0, self.size()), width,
                       Align::Right, Text("0")));
    return make_text(runtime.budget, std::move(out));
}

Value format(Runtime& runtime, const char*, const Text& self, const Arguments& args) {
    return format_braces(runtime.budget, self, args);
}

template <bool (*Has)(int32_t)>
Value every_character(Runtime&, const char* called, const Text& self, const Arguments& args) {
    const Parameters p(called, args, {});
    for (size_t at = 0; at < self.size();) {
        const Character c = character_at(self.bytes(), at);
        if (!Has(c.code)) return false;
        at = c.end;
    }
    return !self.empty();
}

bool is_alphanumeric(int32_t code) {
    return is_alpha(code) || is_numeric(code);
}

Value isascii(Runtime&, const char* called, const Text& self, const Arguments& args) {
    const Parameters p(called, args, {});
    return std::all_of(self.bytes().begin(), self.bytes().end(),
                       [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

// All cased characters are of this case, and there is one.
template <bool (*Wanted)(int32_t)>
Value has_case(Runtime&, const char* called, const Text& self, const Arguments& args) {
    const Parameters p(called, args, {});
    bool any = false;
    for (size_t at = 0; at < self.size();) {
        const Character c = character_at(self.bytes(), at);
        if (is_cased(c.code) && !Wanted(c.code)) return false;
        any = any || Wanted(c.code);
        at = c.end;
    }
    return any;
}

constexpr TextMethod kMethods[] = {
    {"capitalize", changed<capitalized>},
    {"center", align<Align::Center>},
    {"count", count},
    {"endswith", starts<true>},
    {"find", find<false>},
    {"format", format},
    {"index", index<false>},
    {"isalnum", every_character<is_alphanumeric>},
    {"isalpha", every_character<is_alpha>},
    {"isascii", isascii},
    {"isdecimal", every_character<is_decimal>},
    {"isdigit", every_character<is_decimal>},
    {"islower", has_case<is_lower>},
    {"isnumeric", every_character<is_numeric>},
    {"isspace", every_character<is_space>},
    {"isupper", has_case<is_upper>},
    {"join", join},
    {"ljust", align<Align::Left>},
    {"lower", changed<to_lower>},
    {"lstrip", strip<true, false>},
    {"partition", partition<false>},
    {"removeprefix", remove_affix<false>},
    {"removesuffix", remove_affix<true>},
    {"replace", replace},
    {"rfind", find<true>},
    {"rindex", index<true>},
    {"rjust", align<Align::Right>},
    {"rpartition", partition<true>},
    {"rsplit", split<true>},
    {"rstrip", strip<false, true>},
    {"split", split<false>},
    {"splitlines", splitlines},
    {"startswith", starts<false>},
    {"strip", strip<true, true>},
    {"title", changed<words_capitalized>},
    {"upper", changed<to_upper>},
    {"zfill", zfill},
};

}  // namespace

const TextMethod* text_method(const std::string& name) {
    const auto* found = std::find_if(std::begin(kMethods), std::end(kMethods),
                                     [&](const TextMethod& entry) { return name == entry.name; });
    return found == std::end(kMethods) ? nullptr : found;
}

}  // namespace quarot::jinja
