#include "bench/speed_test.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>

#include "core/check.h"
#include "core/checked_math.h"
#include "kernels/ops.h"

namespace quarot::bench {

std::string SpeedTest::name() const {
    return fmt::format("{}{}", phase == Phase::Prompt ? "pp" : "tg", n_tokens);
}

std::vector<SpeedTest> speed_tests(std::span<const int64_t> prompt_tokens,
                                   std::span<const int64_t> new_tokens,
                                   std::span<const int64_t> depths,
                                   std::span<const int64_t> batches) {
    std::vector<SpeedTest> tests;
    for (const int64_t depth : depths) {
        for (const int64_t batch : batches) {
            for (const int64_t n : prompt_tokens) {
                if (n > 0) tests.push_back({Phase::Prompt, n, depth, batch});
            }
            for (const int64_t n : new_tokens) {
                if (n > 0) tests.push_back({Phase::Decode, n, depth, batch});
            }
        }
    }
    return tests;
}

CacheSize cache_size(std::span<const SpeedTest> tests) {
    const int64_t page_tokens = kernels::KvDescriptor().page_tokens;
    CacheSize size;
    for (const SpeedTest& test : tests) {
        size.n_positions = std::max(size.n_positions, test.positions());
        size.n_tokens =
            std::max(size.n_tokens, round_up(test.positions(), page_tokens) * test.batch);
        size.n_sequences = std::max(size.n_sequences, test.batch);
    }
    return size;
}

Clock steady_clock() {
    return [] {
        return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch())
            .count();
    };
}

std::vector<double> time_runs(Workload& workload, int64_t n_runs, const Clock& clock) {
    workload.prepare();
    workload.warm_up();
    std::vector<double> seconds;
    for (int64_t i = 0; i < n_runs; ++i) {
        workload.prepare();
        const double start = clock();
        workload.run();
        seconds.push_back(clock() - start);
    }
    return seconds;
}

Speed speed_of(std::span<const double> seconds, int64_t n_tokens) {
    QUAROT_CHECK(!seconds.empty());
    std::vector<double> speeds;
    for (const double s : seconds) speeds.push_back(static_cast<double>(n_tokens) / s);
    const auto n = static_cast<double>(speeds.size());
    const double mean = std::accumulate(speeds.begin(), speeds.end(), 0.0) / n;
    double squares = 0.0;
    for (const double speed : speeds) squares += (speed - mean) * (speed - mean);
    return {.mean = mean, .stddev = speeds.size() == 1 ? 0.0 : std::sqrt(squares / (n - 1.0))};
}

}  // namespace quarot::bench
