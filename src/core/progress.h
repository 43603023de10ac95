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

// While it lives, the pieces of work of this thread are parts of the one that is named: their lines
// on a terminal and in JSON begin with its name, and elsewhere there are none, since its owner
// tells of it. An empty name is left out. An earlier one on the thread waits.
class ProgressScope {
  public:
    explicit ProgressScope(std::string name);
    ~ProgressScope();
    ProgressScope(const ProgressScope&) = delete;
    ProgressScope& operator=(const ProgressScope&) = delete;

  private:
    std::string name_;
    const ProgressScope* const previous_;
    friend class Progress;
};

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
};

}  // namespace quarot
