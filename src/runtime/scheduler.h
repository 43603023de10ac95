// Which tokens of which requests run in the next step, and in which pages: logic of the host alone,
// without backend or clock.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <span>
#include <vector>

#include "runtime/page_pool.h"
#include "runtime/prefix_index.h"

namespace quarot::runtime {

using RequestId = int64_t;

enum class LogitsWanted { None, Last, All };

// Tokens to run, and room for those that follow them.
struct Request {
    std::vector<int32_t> tokens;  // at least one
    int64_t max_tokens = 0;       // with those given later; at least the first
    LogitsWanted logits = LogitsWanted::Last;
    int64_t first_logits = 0;  // All: those of the tokens from this position on
    // May begin with cached pages of other requests, and leaves its own to them. Cached tokens have
    // no logits, so that with All only those before first_logits may be.
    bool shares_prefix = true;
};

struct SchedulerLimits {
    int64_t n_pages = 1;
    int64_t page_tokens = 64;
    int64_t sequences = 1;    // running at once
    int64_t step_tokens = 1;  // of one step, at least `sequences`
    int64_t window = 0;       // positions that a token sees in any layer; 0: all before it
};

// Tokens that one request runs in a step. Valid until the step is committed or abandoned.
struct Work {
    RequestId request = 0;
    int64_t first_position = 0;
    std::span<const int32_t> tokens;
    // Of all its positions up to the last of these; those that no layer sees any more may be
    // anybody's.
    std::span<const PageId> pages;
    LogitsWanted logits = LogitsWanted::None;
    int64_t n_without_logits = 0;  // All: the first of these tokens, whose logits nobody wants
};

struct StepPlan {
    std::vector<Work> work;
};

// Requests wait in order of arrival. One is admitted when pages for all of its max_tokens are free
// or promised to nobody, so that none ever runs out of pages and none is put back. Each step gives
// every running request that has tokens at least one of them, and the rest of its budget to those
// admitted first. With a window, pages that all of a request's tokens to come leave behind are
// given back after a step, and it is promised no more than it can hold at once. Hence the head of
// the queue is admitted, at the latest, once all that run have ended: within as many steps as the
// largest max_tokens among them, if their tokens are given between steps. Used by one thread.
class Scheduler {
  public:
    explicit Scheduler(const SchedulerLimits& limits);

    // Error{OutOfMemory} if max_tokens tokens do not fit the cache when it is empty.
    RequestId add(Request request);
    // More tokens of a running request whose tokens have all run.
    void give(RequestId id, std::span<const int32_t> tokens);
    // Ends a request in any state; during a step when that is over. Nothing if it has ended.
    void cancel(RequestId id);

    // The next step, empty if nothing can run. Takes pages, changes no length. commit or abandon
    // follows.
    StepPlan next();
    // failed: one for each work; failed requests end.
    void commit(const StepPlan& plan, const std::vector<bool>& failed);
    void abandon(const StepPlan& plan);

    bool has(RequestId id) const { return requests_.contains(id); }
    // Tokens that have not run; 0 if it has ended.
    int64_t n_pending(RequestId id) const;
    int64_t length(RequestId id) const { return requests_.at(id).length; }
    // In order, without those given back.
    std::span<const PageId> pages(RequestId id) const {
        const State& state = requests_.at(id);
        return std::span(state.pages).subspan(static_cast<size_t>(state.n_behind));
    }
    const std::deque<RequestId>& queue() const { return queue_; }
    const std::vector<RequestId>& running() const { return running_; }
    const PagePool& pool() const { return pool_; }
    const PrefixIndex& prefixes() const { return prefixes_; }

  private:
    struct State {
        Request request;
        int64_t length = 0;  // tokens in the cache
        std::vector<PageId> pages;
        int64_t n_behind = 0;  // the first pages, given back
        bool in_step = false;
        bool cancelled = false;
        int64_t n_pending() const { return std::ssize(request.tokens) - length; }
    };

    int64_t pages_for(int64_t n_tokens) const;
    int64_t most_pages(const Request& request) const;
    int64_t still_needed(const State& state) const;
    void give_back_behind(State& state);
    void release_pages(State& state);
    int64_t promised() const;
    void admit();
    bool admit(State& state);
    void take_pages(State& state, int64_t n_tokens);
    Work work_of(RequestId id, const State& state, int64_t n_tokens) const;
    void end(RequestId id);
    void leave_step(const StepPlan& plan);

    SchedulerLimits limits_;
    PagePool pool_;
    PrefixIndex prefixes_;
    std::map<RequestId, State> requests_;
    std::deque<RequestId> queue_;
    std::vector<RequestId> running_;  // in order of admission
    RequestId next_id_ = 0;
    bool in_step_ = false;
};

}  // namespace quarot::runtime
