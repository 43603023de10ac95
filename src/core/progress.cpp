#include "core/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#include "core/live_line.h"
#include "core/process.h"
#include "core/watch.h"

namespace quarot {

namespace {

ProgressStyle progress_style = ProgressStyle::None;

thread_local const ProgressScope* current_scope = nullptr;

constexpr double kQuietSeconds = 2.0;
constexpr double kBarEverySeconds = 0.2;
constexpr double kLineEverySeconds = 30.0;
constexpr int64_t kLineEveryPercent = 5;

std::string clock_text(double seconds) {
    const auto s = static_cast<int64_t>(seconds + 0.5);
    return s < 3600 ? fmt::format("{}:{:02}", s / 60, s % 60)
                    : fmt::format("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60);
}

bool is_bar() {
    return progress_style == ProgressStyle::Auto && isatty(STDERR_FILENO) == 1;
}

double seconds_between(std::chrono::steady_clock::time_point a,
                       std::chrono::steady_clock::time_point b) {
    return std::chrono::duration<double>(b - a).count();
}

}  // namespace

void set_progress_style(ProgressStyle style) {
    progress_style = style;
}

ProgressScope::ProgressScope(std::string name) : name_(std::move(name)), previous_(current_scope) {
    current_scope = this;
}

ProgressScope::~ProgressScope() {
    current_scope = previous_;
}

Progress::Progress(std::string what, int64_t total)
    : what_(std::move(what)), total_(std::max<int64_t>(total, 1)) {
    if (current_scope != nullptr && !current_scope->name_.empty()) {
        what_ = current_scope->name_ + ": " + what_;
    }
}

Progress::~Progress() {
    erase_live_line();
}

void Progress::advance(int64_t steps) {
    done_ = std::min(done_ + steps, total_);
    tell_watch(what_, done_, total_);
    if (progress_style == ProgressStyle::None) return;
    const auto now = Clock::now();
    const double elapsed = seconds_between(start_, now);
    if (elapsed < kQuietSeconds || done_ == 0) return;
    const double since = seconds_between(last_print_, now);
    const int64_t percent = 100 * done_ / total_;
    const bool bar = is_bar();
    if (!bar && progress_style == ProgressStyle::Auto && current_scope != nullptr) return;
    const bool due =
        bar ? since >= kBarEverySeconds || done_ == total_
            : percent >= last_percent_ + kLineEveryPercent || since >= kLineEverySeconds;
    if (!due) return;
    last_print_ = now;
    last_percent_ = percent;
    print(elapsed);
}

void Progress::print(double elapsed) {
    const double left = elapsed * static_cast<double>(total_ - done_) / static_cast<double>(done_);
    if (progress_style == ProgressStyle::Json) {
        fmt::print(
            stderr,
            R"({{"progress":"{}","done":{},"total":{},"elapsed_s":{:.1f},"left_s":{:.1f},"rss_bytes":{}}})"
            "\n",
            what_, done_, total_, elapsed, left, peak_rss_bytes());
        return;
    }
    const std::string text =
        fmt::format("{} {}/{} ({}%), {} elapsed, about {} left", what_, done_, total_,
                    100 * done_ / total_, clock_text(elapsed), clock_text(left));
    if (is_bar()) {
        show_live_line(text);
    } else {
        fmt::print(stderr, "quarot: {}\n", text);
    }
}

}  // namespace quarot
