// A setting as messages name it, so that each border can put its own word there: a flag of the
// program, a field of a request.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <string>
#include <string_view>

namespace quarot {

// By its option in the public headers or, of a recipe, its key in quantization_config: "resume",
// "weights.bits". In a message it is in backquotes.
struct Setting {
    std::string_view name;
};

// A border's word for the setting of this name; empty if it has none.
using SettingWord = std::function<std::string(std::string_view name)>;

// `message` with every setting in it that word_of knows replaced by its word.
std::string respelled(std::string_view message, const SettingWord& word_of);

}  // namespace quarot

template <>
struct fmt::formatter<quarot::Setting> {
    constexpr auto parse(format_parse_context& context) { return context.begin(); }
    auto format(const quarot::Setting& setting, format_context& context) const {
        auto out = context.out();  // fmt::format_to would compile all of fmt in every file
        *out++ = '`';
        out = std::copy(setting.name.begin(), setting.name.end(), out);
        *out++ = '`';
        return out;
    }
};
