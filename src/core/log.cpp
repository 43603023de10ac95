#include "core/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <memory>
#include <mutex>
#include <utility>

namespace quarot {

namespace {

spdlog::logger& logger() {
    static const auto instance = [] {
        auto made = std::make_shared<spdlog::logger>(
            "quarot", std::make_shared<spdlog::sinks::stderr_sink_mt>());
        made->set_pattern("quarot: %v");
        return made;
    }();
    return *instance;
}

spdlog::level::level_enum spdlog_level(LogLevel level) {
    switch (level) {
        case LogLevel::Error:
            return spdlog::level::err;
        case LogLevel::Warning:
            return spdlog::level::warn;
        case LogLevel::Info:
            return spdlog::level::info;
    }
    return spdlog::level::info;
}

std::string escaped(const std::string& text) {
    std::string out;
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte < 0x20 || byte == 0x7f) {
            out += fmt::format("\\x{:02x}", byte);
        } else {
            out += c;
        }
    }
    return out;
}

struct Listener {
    std::mutex mutex;  // guards callback and its calls
    LogCallback callback;
};

Listener& listener() {
    static Listener instance;
    return instance;
}

}  // namespace

void set_log(LogCallback callback) {
    const std::lock_guard lock(listener().mutex);
    listener().callback = std::move(callback);
}

void log_line(LogLevel level, const std::string& message) {
    {
        const std::lock_guard lock(listener().mutex);
        if (listener().callback) return listener().callback(level, escaped(message));
    }
    const std::string prefix = level == LogLevel::Error     ? "error: "
                               : level == LogLevel::Warning ? "warning: "
                                                            : "";
    logger().log(spdlog_level(level), "{}", prefix + escaped(message));
}

}  // namespace quarot
