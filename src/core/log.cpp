#include "core/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <memory>
#include <mutex>
#include <utility>

#include "core/live_line.h"

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
    std::recursive_mutex mutex;  // guards what follows, and is held while the callback runs
    std::shared_ptr<const LogCallback> callback;
    bool is_called = false;
};

// While it lives, the listener's callback runs.
class CallMark {
  public:
    explicit CallMark(Listener& of) : of_(of) { of_.is_called = true; }
    ~CallMark() { of_.is_called = false; }
    CallMark(const CallMark&) = delete;
    CallMark& operator=(const CallMark&) = delete;

  private:
    Listener& of_;
};

Listener& listener() {
    static Listener instance;
    return instance;
}

// False if nobody listens, or if the line comes from within the callback.
bool tell_listener(LogLevel level, const std::string& line) {
    Listener& to = listener();
    const std::lock_guard lock(to.mutex);
    if (!to.callback || to.is_called) return false;
    const auto callback = to.callback;  // lives on if the call replaces it
    const CallMark mark(to);
    (*callback)(level, line);
    return true;
}

}  // namespace

void set_log(LogCallback callback) {
    const std::lock_guard lock(listener().mutex);
    listener().callback =
        callback ? std::make_shared<const LogCallback>(std::move(callback)) : nullptr;
}

void log_line(LogLevel level, const std::string& message) {
    if (tell_listener(level, escaped(message))) return;
    const std::string prefix = level == LogLevel::Error     ? "error: "
                               : level == LogLevel::Warning ? "warning: "
                                                            : "";
    erase_live_line();
    logger().log(spdlog_level(level), "{}", prefix + escaped(message));
}

}  // namespace quarot
