// How the library fails: Error of the public header, made from a format and its arguments.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>
#include <utility>

#include "core/setting.h"
#include "quarot/error.h"

namespace quarot {

// The name of a Setting, nothing of other arguments.
inline std::string_view setting_in(const Setting& setting) {
    return setting.name;
}
template <typename Arg>
std::string_view setting_in(const Arg&) {
    return {};
}

// Its setting is the first among the arguments.
template <typename... Args>
Error make_error(ErrorCode code, fmt::format_string<Args...> format, Args&&... args) {
    std::string_view setting;
    ((setting = setting.empty() ? setting_in(args) : setting), ...);
    return Error(code, fmt::format(format, std::forward<Args>(args)...), std::string(setting));
}

template <typename... Args>
[[noreturn]] void fail(ErrorCode code, fmt::format_string<Args...> format, Args&&... args) {
    throw make_error(code, format, std::forward<Args>(args)...);
}

}  // namespace quarot
