// Seconds that several pieces of work took together.
#pragma once

#include <chrono>

namespace quarot::eval {

class Stopwatch {
  public:
    template <typename Work>
    void time(const Work& work) {
        const auto start = std::chrono::steady_clock::now();
        work();
        seconds_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    }
    double seconds() const { return seconds_; }

  private:
    double seconds_ = 0.0;
};

}  // namespace quarot::eval
