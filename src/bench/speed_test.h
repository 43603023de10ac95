// Which runs are timed, how often, and what their times say.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

namespace quarot::bench {

enum class Phase { Prompt, Decode };

// `batch` sequences, each with `depth` tokens in its cache already, take n_tokens more: at once
// (Prompt) or one a step (Decode).
struct SpeedTest {
    Phase phase = Phase::Prompt;
    int64_t n_tokens = 0;
    int64_t depth = 0;
    int64_t batch = 1;

    std::string name() const;  // "pp512", "tg128"
    int64_t positions() const { return depth + n_tokens; }
};

// Every combination of the lists, by rising place: depth, then batch, then prompts before decoding.
// Tests of 0 tokens are left out.
std::vector<SpeedTest> speed_tests(std::span<const int64_t> prompt_tokens,
                                   std::span<const int64_t> new_tokens,
                                   std::span<const int64_t> depths,
                                   std::span<const int64_t> batches);

// What tests need of a model: the longest context, and the most tokens that a cache of whole pages
// holds for all sequences of a test.
struct CacheSize {
    int64_t n_positions = 0;
    int64_t n_tokens = 0;
    int64_t n_sequences = 1;
};

CacheSize cache_size(std::span<const SpeedTest> tests);

// What a test does. Only run() is timed.
class Workload {
  public:
    virtual ~Workload() = default;
    virtual void prepare() = 0;  // before every run, and before the warm-up
    virtual void warm_up() = 0;
    virtual void run() = 0;
};

// Seconds since any fixed moment.
using Clock = std::function<double()>;
Clock steady_clock();

// Warms up once, then times n_runs runs. Seconds of each.
std::vector<double> time_runs(Workload& workload, int64_t n_runs, const Clock& clock);

struct Speed {
    double mean = 0.0;    // of the runs' tokens per second
    double stddev = 0.0;  // of the sample (n - 1); 0 for a single run
};

Speed speed_of(std::span<const double> seconds, int64_t n_tokens);

}  // namespace quarot::bench
