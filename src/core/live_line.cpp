#include "core/live_line.h"

#include <cstdio>
#include <mutex>

namespace quarot {

namespace {

constexpr const char* kErase = "\r\033[K";

std::mutex mutex;  // guards is_shown and the line itself
bool is_shown = false;

}  // namespace

void show_live_line(const std::string& text) {
    const std::lock_guard lock(mutex);
    std::fputs((kErase + text).c_str(), stderr);
    std::fflush(stderr);
    is_shown = true;
}

void erase_live_line() {
    const std::lock_guard lock(mutex);
    if (!is_shown) return;
    std::fputs(kErase, stderr);
    std::fflush(stderr);
    is_shown = false;
}

}  // namespace quarot
