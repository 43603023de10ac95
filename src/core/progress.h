// Progress of long work on stderr, with an honest estimate of the time left.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace quarot {

enum class ProgressStyle {
    Auto,
    Json,
    None
};  // Auto: a bar on a terminal, else a line now and then

// Process-wide choice, made once by the program before work starts. Default: None (library use).
void set_progress_style(ProgressStyle style);

// One piece of work of `total` equal steps. Nothing is printed in the first two seconds.
// Used by one thread.
class Progress {
  public:
    Progress(std::string what, int64_t total);
    ~Progress();
    Progress(const Progress&) = delete;
    Progress& operator=(const Progress&) = delete;

    void advance(int64_t steps = 1);

  private:
    using Clock = std::chrono::steady_clock;
    void print(double elapsed_s);

    std::string what_;
    int64_t total_;
    int64_t done_ = 0;
    Clock::time_point start_ = Clock::now();
    Clock::time_point last_print_ = start_;
    int64_t last_percent_ = -100;
    bool printed_bar_ = false;
};

}  // namespace quarot
