// What a server counts, as Prometheus reads it.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "runtime/engine.h"

namespace quarot::serve {

// Counts of values at or below each bound.
class Histogram {
  public:
    explicit Histogram(std::vector<double> bounds);
    void add(double value);
    // "NAME_bucket{le="0.1"} 3", then _sum and _count.
    std::string text(const std::string& name) const;

  private:
    std::vector<double> bounds_;
    std::vector<int64_t> counts_;  // one more than bounds
    double sum_ = 0.0;
};

// Any number of threads may count.
class Metrics {
  public:
    Metrics();

    void count_tokens(int64_t prompt_tokens, int64_t new_tokens);
    void count_step(int64_t n_tokens);
    void count_success(const std::string& finish_reason);
    void count_http(const std::string& route, int status);
    void count_cancelled();
    void count_rejected(const std::string& reason);
    void observe_queue(double seconds);
    void observe_first_token(double seconds);
    void observe_next_token(double seconds);
    void observe_request(double seconds, int64_t prompt_tokens, int64_t new_tokens);

    // The text exposition, each family with its help and type.
    // labels_of_build: as {version="0.1.0"}.
    std::string text(const runtime::EngineLoad& load, const std::string& labels_of_build) const;

  private:
    mutable std::mutex mutex_;  // guards what follows
    int64_t prompt_tokens_ = 0, new_tokens_ = 0, cancelled_ = 0;
    std::map<std::string, int64_t> successes_, rejected_;
    std::map<std::pair<std::string, int>, int64_t> http_;
    Histogram queue_, first_token_, next_token_, request_, prompt_length_, new_length_, step_;
};

}  // namespace quarot::serve
