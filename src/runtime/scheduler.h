// Which tokens of which requests run in the next step, and in which pages: logic of the host alone,
// without backend or clock.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
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
    // 0 to kMaxPriority: waits and runs as one that came priority * kHeadStart requests earlier.
    int priority = 0;
};

inline constexpr int kMaxPriority = 8;
inline constexpr int64_t kHeadStart = 32;

// Which pages a request has to itself when it is admitted.
enum class Admission {
    AllTokens,   // for all of its max_tokens: it never runs out of pages
    TokensSoFar  // for those it has: it may be put back, if the cache is full when it grows
};

struct SchedulerLimits {
    int64_t n_pages = 1;
    int64_t page_tokens = 64;
    int64_t sequences = 1;    // running at once
    int64_t step_tokens = 1;  // of one step, at least `sequences`
    int64_t window = 0;       // positions that a token sees in any layer; 0: all before it
    Admission admission = Admission::AllTokens;
    // A step may write over what its requests need beside their pages (keys by channel): those of
    // one that is abandoned begin anew.
    bool restarts_abandoned = false;
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
    int64_t seat = 0;  // below SchedulerLimits::sequences, its own for as long as it runs
};

struct StepPlan {
    std::vector<Work> work;
};

// Requests wait and run in order of arrival, which priority moves by so many places, so that no one
// is overtaken without end. One is admitted when pages for its tokens, as Admission says, are free
// or promised to nobody. Each step gives every running request that has tokens at least one of
// them, and the rest of its budget to the first in order.
//
// AllTokens: none ever runs out of pages and none is put back. Hence the head of the queue is
// admitted, at the latest, once all that run have ended: within as many steps as the largest
// max_tokens among them, if their tokens are given between steps.
//
// TokensSoFar: where no page is left for one that grows, the last in order gives its pages back and
// waits again at its place, to run all its tokens once more (whole pages that the index still has
// excepted); logits that were wanted and seen are not wanted again. The first in order is never put
// back, so that it ends within as many steps as its max_tokens, and then the next is the first.
// A request whose tokens have all run is not put back before more are given.
//
// With a window, pages that all of a request's tokens to come leave behind are given back after a
// step, and it is promised no more than it can hold at once.
//
// Used by one thread.
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
    // follows, unless it throws: then no step is on its way.
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
    int64_t n_put_back() const { return n_put_back_; }  // how often a request was, so far

  private:
    struct State {
        Request request;
        int64_t length = 0;  // tokens in the cache
        std::vector<PageId> pages;
        int64_t n_behind = 0;  // the first pages, given back
        int64_t n_shared = 0;  // the first pages, of earlier requests
        bool in_step = false;
        bool cancelled = false;
        int64_t place = 0;  // lower ones come first
        int64_t seat = 0;   // while it runs
        int64_t n_pending() const { return std::ssize(request.tokens) - length; }
    };

    int64_t pages_for(int64_t n_tokens) const;
    int64_t most_pages(int64_t n_tokens) const;
    int64_t own_tokens(const State& state) const;
    int64_t still_needed(const State& state) const;
    int64_t promised() const;
    template <typename List>
    void insert(List& list, RequestId id);
    void admit();
    bool admit(State& state);
    int64_t free_seat() const;
    bool begin(State& state);
    void share_prefix(State& state);
    bool take_pages(RequestId id, int64_t n_tokens);
    std::optional<RequestId> last_to_put_back() const;
    void put_back(RequestId id);
    void give_back_behind(State& state);
    void release_pages(State& state);
    void fill(StepPlan& plan);
    Work work_of(RequestId id, const State& state, int64_t n_tokens) const;
    void end(RequestId id);
    void leave_step(const StepPlan& plan);

    SchedulerLimits limits_;
    PagePool pool_;
    PrefixIndex prefixes_;
    std::map<RequestId, State> requests_;
    std::deque<RequestId> queue_;
    std::vector<RequestId> running_;  // in order, as the queue
    RequestId next_id_ = 0;
    int64_t n_put_back_ = 0;
    bool in_step_ = false;
};

}  // namespace quarot::runtime
