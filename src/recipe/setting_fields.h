// How a row of the table of settings finds its field of Recipe, and which values it takes.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

#include "core/decimal.h"
#include "recipe/settings.h"

namespace quarot::setting_fields {

constexpr int64_t kMaxGroup = int64_t{1} << 20;

// The type of SettingValue that has the values of T.
template <typename T>
using ValueOf = std::conditional_t<
    std::is_floating_point_v<T>, double,
    std::conditional_t<std::is_integral_v<T> && !std::is_same_v<T, bool>, int64_t, T>>;

// A member of Recipe by pointers to members, such as &Recipe::weights, &WeightFormat::bits.
template <auto... path>
auto& member(auto& recipe) {
    return (recipe.*....*path);
}

template <auto... path>
SettingValue get(const Recipe& recipe) {
    const auto& value = member<path...>(recipe);
    using T = std::remove_cvref_t<decltype(value)>;
    if constexpr (std::is_same_v<T, float>) {
        return as_written(value);
    } else {
        return ValueOf<T>{value};
    }
}

template <auto... path>
void set(Recipe& recipe, const SettingValue& value) {
    auto& to = member<path...>(recipe);
    using T = std::remove_cvref_t<decltype(to)>;
    to = static_cast<T>(std::get<ValueOf<T>>(value));
}

inline bool is_width(int64_t bits) {
    return (bits >= 2 && bits <= 8) || bits == 16;
}

template <auto... path>
constexpr SettingField width() {
    return {get<path...>, set<path...>,
            [](const SettingValue& v) { return is_width(std::get<int64_t>(v)); },
            [] { return std::string("2 to 8, or 16 for not quantized"); }};
}

template <int64_t min, int64_t max, auto... path>
constexpr SettingField whole() {
    return {get<path...>, set<path...>,
            [](const SettingValue& v) {
                return std::get<int64_t>(v) >= min && std::get<int64_t>(v) <= max;
            },
            [] { return fmt::format("a whole number from {} to {}", min, max); }};
}

template <auto... path>
constexpr SettingField group() {
    return {get<path...>, set<path...>,
            [](const SettingValue& v) {
                const int64_t n = std::get<int64_t>(v);
                return n >= 0 && n <= kMaxGroup && n % 4 == 0;
            },
            [] { return fmt::format("a multiple of 4 from 4 to {}, or 0 for none", kMaxGroup); }};
}

// From 0 to max_percent / 100.
template <int max_percent, auto... path>
constexpr SettingField share() {
    return {get<path...>, set<path...>,
            [](const SettingValue& v) {
                return std::get<double>(v) >= 0.0 && std::get<double>(v) <= max_percent / 100.0;
            },
            [] { return fmt::format("a number from 0 to {}", max_percent / 100.0); }};
}

template <auto... path>
constexpr SettingField clip() {
    return {get<path...>, set<path...>,
            [](const SettingValue& v) {
                const double ratio = std::get<double>(v);
                return static_cast<float>(ratio) > 0.0f && ratio <= 1.0;
            },
            [] { return std::string("a number above 0 and at most 1"); }};
}

template <auto... path>
constexpr SettingField on() {
    return {get<path...>, set<path...>, [](const SettingValue&) { return true; },
            [] { return std::string("true or false"); }};
}

template <typename T>
struct Spelling {
    T value;
    std::string_view word;
};

template <typename T, size_t n>
constexpr std::array<std::string_view, n> words_of(const Spelling<T> (&spellings)[n]) {
    std::array<std::string_view, n> words;
    for (size_t i = 0; i < n; ++i) words[i] = spellings[i].word;
    return words;
}
template <auto& spellings>
inline constexpr auto kWords = words_of(spellings);

// What a value without a word is called in a refusal.
inline std::string wordless(const std::optional<DType>& dtype) {
    return std::string(name_of(dtype.value_or(DType::F32)));
}
std::string wordless(const auto&) {
    return "unknown";
}

// Of several spellings of a value the first is written; all are read.
template <auto& spellings, auto... path>
constexpr SettingField one_of() {
    return {[](const Recipe& recipe) -> SettingValue {
                for (const auto& [value, word] : spellings) {
                    if (member<path...>(recipe) == value) return std::string(word);
                }
                return wordless(member<path...>(recipe));
            },
            [](Recipe& recipe, const SettingValue& to) {
                for (const auto& [value, word] : spellings) {
                    if (std::get<std::string>(to) == word) member<path...>(recipe) = value;
                }
            },
            [](const SettingValue& v) {
                const auto& words = kWords<spellings>;
                return std::count(words.begin(), words.end(), std::get<std::string>(v)) > 0;
            },
            [] {
                std::string list;
                for (const std::string_view word : kWords<spellings>) {
                    list.append(list.empty() ? "one of " : ", ").append(word);
                }
                return list;
            },
            kWords<spellings>};
}

}  // namespace quarot::setting_fields
