// How the library fails: Error of the public header, its message made from a format.
#pragma once

#include <fmt/format.h>

#include <utility>

#include "quarot/error.h"

namespace quarot {

template <typename... Args>
[[noreturn]] void fail(ErrorCode code, fmt::format_string<Args...> format, Args&&... args) {
    throw Error(code, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace quarot
