// One model that runs the requests of many clients, as many of them in one step as there is work.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <map>
#include <mutex>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include "runtime/executor.h"
#include "runtime/scheduler.h"

namespace quarot::runtime {

// Rows whose logits are in memory at once, at most.
inline constexpr int64_t kLogitRows = 128;

struct EngineLimits {
    int64_t context = 1;      // tokens of one request; at most the weights' positions
    int64_t sequences = 1;    // that run at once
    int64_t n_pages = 0;      // of the cache; 0: enough for `sequences` full contexts
    int64_t step_tokens = 0;  // of a step, at least `sequences`; 0: the backend's choice
    Admission admission = Admission::AllTokens;
};

// What an engine is doing between two steps.
struct EngineLoad {
    int64_t n_running = 0;
    int64_t n_waiting = 0;
    int64_t n_pages = 0;
    int64_t n_pages_used = 0;    // by requests that run
    int64_t n_pages_cached = 0;  // of earlier ones, given up when they are needed
    int64_t n_put_back = 0;      // requests that gave their pages back to others, so far
};

// What a step computed for one request, while it is in memory.
class StepRows {
  public:
    StepRows(Executor& executor, int64_t first_row, int64_t n_rows, int64_t first_position)
        : executor_(executor), first_(first_row), n_(n_rows), first_position_(first_position) {}

    // Rows with logits, and the position of the first one's token.
    int64_t size() const { return n_; }
    int64_t first_position() const { return first_position_; }
    // As Executor's; rows count from 0.
    void logits(int64_t first, int64_t n, std::span<float> out) const {
        executor_.logits(first_ + first, n, out);
    }
    int32_t best(int64_t row) const { return executor_.best(first_ + row); }
    void log_probabilities(std::span<const int32_t> targets, std::span<double> out) const {
        executor_.log_probabilities(first_, targets, out);
    }
    void divergence(const StepRows& base, std::span<Executor::Divergence> out) const {
        executor_.divergence(base.executor_, first_, out);
    }

  private:
    Executor& executor_;
    int64_t first_, n_, first_position_;
};

// Called after each step that computed wanted rows of a request, on the thread that ran the step.
// What it throws ends the request.
using Look = std::function<void(const StepRows&)>;

// Clients may be on several threads. Each step runs on the thread of one that waits for it, with
// the work of all. Weights and backends must outlive it, and nobody else may use the backends
// meanwhile.
class Engine {
  public:
    // `ranks`: all of a group, in order.
    Engine(std::vector<RankModel> ranks, const EngineLimits& limits);
    Engine(const model::Weights& weights, kernels::Backend& backend, const EngineLimits& limits)
        : Engine(one_rank(weights, backend), limits) {}

    // Error{Usage} for a token outside the vocabulary or max_tokens beyond the context,
    // Error{OutOfMemory} if they cannot fit the cache. giver: the thread that will give it tokens.
    RequestId add(Request request, Look look, std::thread::id giver = std::this_thread::get_id());
    // Tokens that follow those of a request all of whose tokens have run.
    void give(RequestId id, std::span<const int32_t> tokens);
    // Ends a request in any state; not from a look.
    void cancel(RequestId id);

    // Returns when all tokens of the request have run. Error{Numeric} if a NaN or Inf arose in it,
    // which ends it; what its look or between_steps threw. between_steps is called between steps
    // of this thread; by default it asks for signals. Error{OutOfMemory} if the request cannot
    // begin while another one, whose turn it is to be given a token by this thread, holds its
    // pages.
    void wait(RequestId id, const std::function<void()>& between_steps);
    void wait(RequestId id);

    // One step with the work of all; false if there is nothing to run. For a caller who waits for
    // none of its requests. Throws if the step broke, which moves nobody.
    bool step();
    struct State {
        std::exception_ptr failure;  // what ended it, as wait() would throw it; or null
        int64_t n_run = 0;           // tokens in the cache
        int64_t n_pending = 0;       // that have not run; 0: no look of it is on its way
    };
    State state(RequestId id);
    EngineLoad load();

    // Steps, requests, tokens and ends so far: for the same caller, where nothing can run.
    int64_t n_changes() const { return n_changes_; }
    // Returns when there are other than `seen`.
    void wait_for_change(int64_t seen);
    // A change that is none of the engine.
    void announce_change();

    const model::Weights& weights() const { return executor_.weights(); }
    const EngineLimits& limits() const { return limits_; }
    int64_t cache_bytes() const { return executor_.cache_bytes(); }
    int64_t n_tokens_run() const { return n_tokens_run_; }  // in all steps, cached ones not counted

  private:
    struct Client {
        Look look;
        std::thread::id thread;
        std::exception_ptr failure;
    };

    void change();
    bool run_step(std::unique_lock<std::mutex>& lock);
    // What ended each request of the plan, or null.
    std::vector<std::exception_ptr> run(const StepPlan& plan,
                                        const std::vector<const Look*>& looks);
    void wait_for_others(std::unique_lock<std::mutex>& lock);

    EngineLimits limits_;
    Executor executor_;

    std::mutex mutex_;  // guards what follows
    std::condition_variable changed_;
    Scheduler scheduler_;
    std::map<RequestId, Client> clients_;
    bool in_step_ = false;
    std::atomic<int64_t> n_changes_ = 0;
    std::atomic<int64_t> n_tokens_run_ = 0;
};

// A request that ends with its scope.
class ScopedRequest {
  public:
    ScopedRequest(Engine& engine, Request request, Look look)
        : engine_(engine), id_(engine.add(std::move(request), std::move(look))) {}
    ~ScopedRequest() { engine_.cancel(id_); }
    ScopedRequest(const ScopedRequest&) = delete;
    ScopedRequest& operator=(const ScopedRequest&) = delete;

    void wait() { engine_.wait(id_); }
    void give(std::span<const int32_t> tokens) { engine_.give(id_, tokens); }
    void give(int32_t token) { engine_.give(id_, {&token, 1}); }

  private:
    Engine& engine_;
    RequestId id_;
};

}  // namespace quarot::runtime
