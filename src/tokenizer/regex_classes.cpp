// PCRE2 knows an older Unicode than the package, so what is newer is added range by range. What is
// ASCII is added too, because PCRE2 finds that in a bitmap.
#include "tokenizer/regex_classes.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <utility>
#include <vector>

#include "tokenizer/unicode.h"

namespace quarot::tokenizer {
namespace {

struct Newer {
    std::string_view property;
    char32_t first;
    char32_t last;
};

constexpr Newer kNewerInPatterns[] = {
#include "tokenizer/newer_in_patterns.inc"
};

// Not C and Cn, which shrink from version to version, nor Mn, which has lost a character.
constexpr std::array<std::string_view, 26> kCategories{
    "Lu", "Ll", "Lt", "Lm", "Lo", "Mc", "Me", "Nd", "Nl", "No", "Pc", "Pd", "Ps",
    "Pe", "Pi", "Pf", "Po", "Sm", "Sc", "Sk", "So", "Zs", "Zl", "Zp", "Cc", "Co"};
constexpr std::string_view kMajorCategories = "LMNPSZ";
constexpr std::array<std::string_view, 23> kScripts{
    "Arabic",   "Armenian",  "Bengali", "Cyrillic", "Devanagari", "Georgian", "Greek",  "Gujarati",
    "Gurmukhi", "Han",       "Hangul",  "Hebrew",   "Hiragana",   "Katakana", "Khmer",  "Lao",
    "Latin",    "Malayalam", "Myanmar", "Tamil",    "Telugu",     "Thai",     "Tibetan"};

std::string range(char32_t first, char32_t last) {
    return first == last ? escaped(first) : escaped(first) + "-" + escaped(last);
}

using Ends = std::pair<char32_t, char32_t>;

// Of all properties, ascending and disjoint.
std::vector<Ends> newer_ranges() {
    std::vector<Ends> all;
    for (const Newer& newer : kNewerInPatterns) all.emplace_back(newer.first, newer.last);
    std::sort(all.begin(), all.end());
    std::vector<Ends> merged;
    for (const Ends& range : all) {
        if (!merged.empty() && range.first <= merged.back().second) {
            merged.back().second = std::max(merged.back().second, range.second);
        } else {
            merged.push_back(range);
        }
    }
    return merged;
}

bool contains(const auto& names, std::string_view name) {
    return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

}  // namespace

std::string escaped(char32_t code) {
    return fmt::format("\\x{{{:X}}}", static_cast<uint32_t>(code));
}

std::string RegexClasses::newer_of(std::string_view name, bool all_that_begin_so) const {
    if (!with_newer_) return {};
    std::string found;
    for (const Newer& newer : kNewerInPatterns) {
        const bool wanted = all_that_begin_so
                                ? newer.property.size() == 2 && newer.property.starts_with(name)
                                : newer.property == name;
        if (wanted) found += range(newer.first, newer.last);
    }
    return found;
}

std::string RegexClasses::property(std::string_view name) const {
    if (contains(kScripts, name)) return fmt::format("\\p{{sc:{}}}", name) + newer_of(name, false);
    const bool major = name.size() == 1 && kMajorCategories.find(name) != std::string_view::npos;
    if (!major && !contains(kCategories, name)) return {};
    const std::string_view ascii = name == "L"                   ? "A-Za-z"
                                   : name == "N" || name == "Nd" ? "0-9"
                                                                 : "";
    return fmt::format("{}\\p{{{}}}", ascii, name) + newer_of(name, major);
}

std::string RegexClasses::words() const {
    return words_in_brackets() + range(0xB2, 0xB3) + range(0xB9, 0xB9) + range(0xBC, 0xBE);
}

std::string RegexClasses::words_in_brackets() const {
    std::string all = "_";
    for (const char* name : {"L", "M", "Nd", "Nl", "Pc"}) all += property(name);
    // Circled and squared letters have no such category.
    return all + range(0x24B6, 0x24E9) + range(0x1F130, 0x1F149) + range(0x1F150, 0x1F169) +
           range(0x1F170, 0x1F189);
}

std::string RegexClasses::spaces() const {
    return range(9, 0xD) + range(0x20, 0x20) + range(0x85, 0x85) + range(0xA0, 0xA0) +
           range(0x1680, 0x1680) + range(0x2000, 0x200A) + range(0x2028, 0x2029) +
           range(0x202F, 0x202F) + range(0x205F, 0x205F) + range(0x3000, 0x3000);
}

std::string RegexClasses::non_spaces() const {
    return range(0, 8) + range(0xE, 0x1F) + range(0x21, 0x84) + range(0x86, 0x9F) +
           range(0xA1, 0x167F) + range(0x1681, 0x1FFF) + range(0x200B, 0x2027) +
           range(0x202A, 0x202E) + range(0x2030, 0x205E) + range(0x2060, 0x2FFF) +
           range(0x3001, 0x10FFFF);
}

bool has_newer_characters(std::string_view text) {
    static const std::vector<Ends> ranges = newer_ranges();
    for (size_t at = 0; at < text.size();) {
        const Character next = character_at(text, at);
        at = next.end;
        if (next.code < ranges.front().first) continue;
        const auto behind =
            std::upper_bound(ranges.begin(), ranges.end(), Ends{next.code, 0x10FFFF});
        if (behind != ranges.begin() && next.code <= std::prev(behind)->second) return true;
    }
    return false;
}

}  // namespace quarot::tokenizer
