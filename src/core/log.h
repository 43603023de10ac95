// One line for people, by level: on stderr, or to whom set_log() named. Threads may log at the same
// time.
#pragma once

#include <fmt/format.h>

#include <string>
#include <utility>

#include "quarot/log.h"

namespace quarot {

// Control characters in `message` are escaped.
void log_line(LogLevel level, const std::string& message);

template <typename... Args>
void log_info(fmt::format_string<Args...> format, Args&&... args) {
    log_line(LogLevel::Info, fmt::format(format, std::forward<Args>(args)...));
}

template <typename... Args>
void log_warning(fmt::format_string<Args...> format, Args&&... args) {
    log_line(LogLevel::Warning, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace quarot
