// QUAROT_CHECK: our own invariants, on in release, at function entry. What does not hold is a bug
// of ours and becomes Error{Internal}. Never for what comes from a file or a user.
#pragma once

#include <fmt/format.h>

#include <string>

namespace quarot {

// Error{Internal} naming the source file, below the project's folder, the line and the condition.
[[noreturn]] void check_failed(const char* file, int line, const char* condition,
                               const std::string& values);

}  // namespace quarot

#define QUAROT_CHECK(condition, ...)                                                               \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            ::quarot::check_failed(__FILE__, __LINE__, #condition, ::fmt::format("" __VA_ARGS__)); \
        }                                                                                          \
    } while (false)
