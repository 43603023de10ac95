// How much may one rendering still do? Counts steps, bytes and nesting, and ends a template that
// loops for ever or explodes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

namespace quarot::jinja {

// The counts are the same on every machine; the clock, if there is one, only ends a rendering
// earlier. Each failure is Error{Corrupt}.
class Budget {
  public:
    explicit Budget(std::function<int64_t()> clock_ms = {});

    void step(size_t count = 1) {
        steps_ += count;
        if (steps_ >= next_check_) check_steps();
    }
    // Bytes that are looked at but not kept cost a fraction of a step.
    void scan(size_t bytes) {
        unpaid_bytes_ += bytes;
        step(unpaid_bytes_ / kScannedBytesPerStep);
        unpaid_bytes_ %= kScannedBytesPerStep;
    }
    // Bytes of a value about to be made; they are never given back.
    void allocate(size_t bytes);
    // Error if so many bytes could not be allocated any more. For what is made before its maker
    // charges for it.
    void require(size_t bytes) const;

    // One level of evaluation; see Nesting.
    void enter();
    void leave() { --depth_; }

  private:
    static constexpr size_t kScannedBytesPerStep = 128;
    static constexpr size_t kStepsBetweenLooksAtClock = 1024;
    void check_steps();

    std::function<int64_t()> clock_ms_;
    int64_t deadline_ms_ = 0;
    size_t steps_ = 0;
    size_t next_check_ = 0;
    size_t bytes_ = 0;
    size_t unpaid_bytes_ = 0;  // looked at, less than a step costs
    int depth_ = 0;
};

// Holds one level of nesting while it lives.
class Nesting {
  public:
    explicit Nesting(Budget& budget) : budget_(budget) { budget_.enter(); }
    ~Nesting() { budget_.leave(); }
    Nesting(const Nesting&) = delete;
    Nesting& operator=(const Nesting&) = delete;

  private:
    Budget& budget_;
};

}  // namespace quarot::jinja
