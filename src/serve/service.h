// What each path answers. Knows no sockets.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "runtime/batch_engine.h"
#include "serve/api_keys.h"
#include "serve/http.h"
#include "serve/job.h"
#include "serve/metrics.h"
#include "serve/served_model.h"

namespace quarot::serve {

struct ServiceOptions {
    ApiKeys keys;
    bool metrics_are_public = false;         // else without a key from this machine alone
    std::vector<std::string> allowed_hosts;  // in Host, without port; empty: any
    int64_t max_queue = 256;                 // sequences that wait, at most
    std::chrono::seconds queue_time{60};     // then 429
    std::chrono::seconds request_time{600};  // then 408
    std::string version;
    std::string commit;
};

enum class Access { Public, Metrics, Key };

struct Route {
    const char* method;
    const char* path;  // ends with '*' where more may follow
    Access access;
    bool is_heavy;  // reads a body: not on the thread that serves all connections
};

class Service {
  public:
    // model, weights and backends must outlive it. `ranks` as runtime::Engine's.
    Service(const ServedModel& model, std::vector<runtime::RankModel> ranks,
            const runtime::EngineLimits& limits, ServiceOptions options);
    // Ends what runs with an error to its client.
    ~Service();

    static std::span<const Route> routes();
    // Whether handle() may take long.
    static bool is_heavy(const HttpRequest& request);

    // Of a request without its body: throws what handle() would answer to host, path, method and
    // key. Any thread.
    void check(const HttpRequest& head) const { permitted(head); }
    // Answers by the exchange, at once or later. Any thread.
    void handle(const HttpRequest& request, const std::shared_ptr<Exchange>& exchange);
    // Of an answer, whoever gave it.
    void count(const HttpRequest& request, int status);

    // To be called several times a second: time limits and pings.
    void tick(Clock::time_point now);
    // From now on new work is refused with 503.
    void drain();
    bool is_idle() const;
    void abort_all(const ApiError& error);

    runtime::EngineLoad load() { return engine_.load(); }

  private:
    using Handler = HttpResponse (Service::*)(const HttpRequest&);
    struct Entry;
    static std::span<const Entry> entries();
    static const Entry* find(const HttpRequest& request);
    static std::string_view route_of(const HttpRequest& request);

    const Entry& permitted(const HttpRequest& request) const;
    void authorize(const HttpRequest& request, Access access) const;
    void check_host(const HttpRequest& request) const;
    void generate(const HttpRequest& request, bool is_chat,
                  const std::shared_ptr<Exchange>& exchange);
    void admit(const GenerationRequest& request);

    HttpResponse page(const HttpRequest& request);
    HttpResponse openapi(const HttpRequest& request);
    HttpResponse health(const HttpRequest& request);
    HttpResponse metrics(const HttpRequest& request);
    HttpResponse version(const HttpRequest& request);
    HttpResponse props(const HttpRequest& request);
    HttpResponse models(const HttpRequest& request);
    HttpResponse model(const HttpRequest& request);
    HttpResponse tokenizer_info(const HttpRequest& request);
    HttpResponse tokenize(const HttpRequest& request);
    HttpResponse detokenize(const HttpRequest& request);
    HttpResponse apply_template(const HttpRequest& request);
    io::Json model_json() const;

    const ServedModel& model_;
    const ServiceOptions options_;
    const int64_t started_;  // seconds since 1970
    Metrics metrics_;
    std::atomic<bool> is_draining_ = false;
    std::atomic<int64_t> next_id_ = 1;

    mutable std::mutex mutex_;  // guards what follows
    std::vector<std::shared_ptr<Job>> jobs_;

    runtime::BatchEngine engine_;  // the last member: its thread uses the others
};

}  // namespace quarot::serve
