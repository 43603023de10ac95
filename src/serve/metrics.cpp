#include "serve/metrics.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>

namespace quarot::serve {

namespace {

const std::vector<double> kSeconds = {0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1,
                                      2.5,   5,     10,   30,    60,   120, 300,  600};
const std::vector<double> kTokens = {1,   2,    5,    10,   20,    50,    100,  200,
                                     500, 1000, 2000, 5000, 10000, 20000, 50000};

constexpr const char* kPrefix = "quarot:";

std::string family(const char* name, const char* help, const char* type) {
    return fmt::format("# HELP {0}{1} {2}\n# TYPE {0}{1} {3}\n", kPrefix, name, help, type);
}

std::string single(const char* name, const char* help, const char* type, double value) {
    return family(name, help, type) + fmt::format("{}{} {}\n", kPrefix, name, value);
}

int64_t resident_bytes() {
    std::ifstream file("/proc/self/statm");
    int64_t size = 0, resident = 0;
    file >> size >> resident;
    return resident * sysconf(_SC_PAGESIZE);
}

}  // namespace

Histogram::Histogram(std::vector<double> bounds)
    : bounds_(std::move(bounds)), counts_(bounds_.size() + 1, 0) {}

void Histogram::add(double value) {
    const auto bound = std::ranges::lower_bound(bounds_, value);
    ++counts_[static_cast<size_t>(bound - bounds_.begin())];
    sum_ += value;
}

std::string Histogram::text(const std::string& name) const {
    std::string lines;
    int64_t n = 0;
    for (size_t i = 0; i < counts_.size(); ++i) {
        n += counts_[i];
        const std::string bound = i < bounds_.size() ? fmt::format("{}", bounds_[i]) : "+Inf";
        lines += fmt::format("{}_bucket{{le=\"{}\"}} {}\n", name, bound, n);
    }
    return lines + fmt::format("{0}_sum {1}\n{0}_count {2}\n", name, sum_, n);
}

Metrics::Metrics()
    : queue_(kSeconds),
      first_token_(kSeconds),
      next_token_(kSeconds),
      request_(kSeconds),
      prompt_length_(kTokens),
      new_length_(kTokens),
      step_(kTokens) {}

void Metrics::count_tokens(int64_t prompt_tokens, int64_t new_tokens) {
    const std::lock_guard lock(mutex_);
    prompt_tokens_ += prompt_tokens;
    new_tokens_ += new_tokens;
}

void Metrics::count_step(int64_t n_tokens) {
    const std::lock_guard lock(mutex_);
    step_.add(static_cast<double>(n_tokens));
}

void Metrics::count_success(const std::string& finish_reason) {
    const std::lock_guard lock(mutex_);
    ++successes_[finish_reason];
}

void Metrics::count_http(const std::string& route, int status) {
    const std::lock_guard lock(mutex_);
    ++http_[{route, status}];
}

void Metrics::count_cancelled() {
    const std::lock_guard lock(mutex_);
    ++cancelled_;
}

void Metrics::count_rejected(const std::string& reason) {
    const std::lock_guard lock(mutex_);
    ++rejected_[reason];
}

void Metrics::observe_queue(double seconds) {
    const std::lock_guard lock(mutex_);
    queue_.add(seconds);
}

void Metrics::observe_first_token(double seconds) {
    const std::lock_guard lock(mutex_);
    first_token_.add(seconds);
}

void Metrics::observe_next_token(double seconds) {
    const std::lock_guard lock(mutex_);
    next_token_.add(seconds);
}

void Metrics::observe_request(double seconds, int64_t prompt_tokens, int64_t new_tokens) {
    const std::lock_guard lock(mutex_);
    request_.add(seconds);
    prompt_length_.add(static_cast<double>(prompt_tokens));
    new_length_.add(static_cast<double>(new_tokens));
}

std::string Metrics::text(const runtime::EngineLoad& load,
                          const std::string& labels_of_build) const {
    const double pages = static_cast<double>(std::max<int64_t>(load.n_pages, 1));
    std::string text = single("num_requests_running", "Sequences that run.", "gauge",
                              static_cast<double>(load.n_running));
    text += single("num_requests_waiting", "Sequences that wait for a seat or for pages.", "gauge",
                   static_cast<double>(load.n_waiting));
    text += single("kv_cache_usage_perc", "Share of the cache's pages in use, 0 to 1.", "gauge",
                   static_cast<double>(load.n_pages_used) / pages);
    text += single("kv_cache_kept_perc", "Share kept for prompts that begin alike, 0 to 1.",
                   "gauge", static_cast<double>(load.n_pages_cached) / pages);
    text += single("num_preemptions_total", "Sequences that gave their pages back to others.",
                   "counter", static_cast<double>(load.n_put_back));
    text += single("process_resident_memory_bytes", "Resident memory of the process.", "gauge",
                   static_cast<double>(resident_bytes()));
    text += family("build_info", "The program.", "gauge") +
            fmt::format("{}build_info{} 1\n", kPrefix, labels_of_build);

    const std::lock_guard lock(mutex_);
    text += single("prompt_tokens_total", "Tokens of prompts taken in.", "counter",
                   static_cast<double>(prompt_tokens_));
    text += single("generation_tokens_total", "New tokens made.", "counter",
                   static_cast<double>(new_tokens_));
    text += single("request_cancelled_total", "Requests whose client left.", "counter",
                   static_cast<double>(cancelled_));
    text += family("request_success_total", "Sequences by how they ended.", "counter");
    for (const auto& [reason, n] : successes_) {
        text += fmt::format("{}request_success_total{{finished_reason=\"{}\"}} {}\n", kPrefix,
                            reason, n);
    }
    text += family("request_rejected_total", "Requests not taken in, by the reason.", "counter");
    for (const auto& [reason, n] : rejected_) {
        text += fmt::format("{}request_rejected_total{{reason=\"{}\"}} {}\n", kPrefix, reason, n);
    }
    text += family("http_requests_total", "Answers by route and status.", "counter");
    for (const auto& [key, n] : http_) {
        text += fmt::format("{}http_requests_total{{route=\"{}\",code=\"{}\"}} {}\n", kPrefix,
                            key.first, key.second, n);
    }
    const auto add = [&](const char* name, const char* help, const Histogram& histogram) {
        text += family(name, help, "histogram") + histogram.text(std::string(kPrefix) + name);
    };
    add("request_queue_time_seconds", "From a request to its first step.", queue_);
    add("time_to_first_token_seconds", "From a request to its first token.", first_token_);
    add("inter_token_latency_seconds", "Between two tokens of a sequence.", next_token_);
    add("e2e_request_latency_seconds", "From a request to the end of its answer.", request_);
    add("request_prompt_tokens", "Prompt lengths.", prompt_length_);
    add("request_generation_tokens", "Lengths of what was made.", new_length_);
    add("iteration_tokens_total", "Tokens of a step.", step_);
    return text;
}

}  // namespace quarot::serve
