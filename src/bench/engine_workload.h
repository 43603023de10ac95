// A speed test run on an engine, with random token ids.
#pragma once

#include <cstdint>
#include <memory>
#include <random>
#include <vector>

#include "bench/speed_test.h"
#include "runtime/engine.h"

namespace quarot::bench {

// What an engine needs to run the test.
runtime::EngineLimits limits_of(const SpeedTest& test);

// The workload is the only client of an engine of limits_of(test), which must outlive it. The last
// token of a prompt and every token of decoding give logits, as generating needs them. A signal
// ends it between steps.
class EngineWorkload : public Workload {
  public:
    EngineWorkload(const SpeedTest& test, runtime::Engine& engine);

    // New sequences, with `depth` tokens each: the same ones every time, so that the engine finds
    // whole pages of them that earlier sequences left.
    void prepare() override;
    void warm_up() override;  // the whole prompt, or one step
    void run() override;

  private:
    // n_tokens more for every sequence, all in the same steps.
    void feed(int64_t n_tokens);
    void wait();
    void add_sequence(std::vector<int32_t> tokens);
    std::vector<int32_t> random_ids(int64_t n);

    SpeedTest test_;
    runtime::Engine& engine_;
    std::mt19937 random_;
    int32_t next_ = 0;  // the likeliest token of the sequence that was looked at last
    std::vector<std::vector<int32_t>> beginnings_;  // [batch][depth]; none without a depth
    std::vector<std::unique_ptr<runtime::ScopedRequest>> sequences_;  // none before its first token
};

}  // namespace quarot::bench
