// QUAROT_CHECK: our own invariants, on in release, at function entry; prints and aborts.
// Never for what comes from a file or a user: that throws Error.
#pragma once

#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <string>

namespace quarot {

[[noreturn]] inline void check_failed(const char* file, int line, const char* condition,
                                      const std::string& values) {
    std::fprintf(stderr, "quarot: internal check failed at %s:%d: %s %s\n", file, line, condition,
                 values.c_str());
    std::abort();
}

}  // namespace quarot

#define QUAROT_CHECK(condition, ...)                                                               \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            ::quarot::check_failed(__FILE__, __LINE__, #condition, ::fmt::format("" __VA_ARGS__)); \
        }                                                                                          \
    } while (false)
