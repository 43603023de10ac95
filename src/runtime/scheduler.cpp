#include "runtime/scheduler.h"

#include <algorithm>
#include <utility>

#include "core/check.h"
#include "core/checked_math.h"
#include "core/error.h"

namespace quarot::runtime {

Scheduler::Scheduler(const SchedulerLimits& limits)
    : limits_(limits), pool_(limits.n_pages), prefixes_(pool_, limits.page_tokens) {
    QUAROT_CHECK(limits.sequences > 0 && limits.step_tokens >= limits.sequences, "{} {}",
                 limits.sequences, limits.step_tokens);
}

int64_t Scheduler::pages_for(int64_t n_tokens) const {
    return ceil_div(n_tokens, limits_.page_tokens);
}

// That it holds at once: pages of a window, of a step, and one more, since neither begins at a
// page.
int64_t Scheduler::most_pages(int64_t n_tokens) const {
    const int64_t all = pages_for(n_tokens);
    if (limits_.window == 0 || limits_.window >= n_tokens) return all;
    return std::min(all, pages_for(limits_.window) + pages_for(limits_.step_tokens) + 1);
}

// How many more pages it may come to hold for the tokens whose pages it has to itself.
int64_t Scheduler::still_needed(const State& state) const {
    const int64_t tokens = own_tokens(state);
    // Shared pages may stay with others when it gives them back.
    const int64_t held = std::ssize(state.pages) - std::max(state.n_behind, state.n_shared);
    const int64_t to_come = pages_for(tokens) - std::ssize(state.pages);
    return std::max<int64_t>(std::min(to_come, most_pages(tokens) - held), 0);
}

RequestId Scheduler::add(Request request) {
    const int64_t n = std::ssize(request.tokens);
    QUAROT_CHECK(n > 0 && request.max_tokens >= n, "{} {}", n, request.max_tokens);
    QUAROT_CHECK(request.first_logits >= 0 && request.first_logits < n, "{} {}",
                 request.first_logits, n);
    if (most_pages(request.max_tokens) > limits_.n_pages) {
        fail(ErrorCode::OutOfMemory, "{} tokens need {} pages of {} of the KV cache, which has {}",
             request.max_tokens, most_pages(request.max_tokens), limits_.page_tokens,
             limits_.n_pages);
    }
    QUAROT_CHECK(request.priority >= 0 && request.priority <= kMaxPriority, "{}", request.priority);
    const RequestId id = next_id_++;
    State& state = requests_[id];
    state.place = id - request.priority * kHeadStart;
    state.request = std::move(request);
    insert(queue_, id);
    return id;
}

// Behind those of an equal place, which came earlier.
template <typename List>
void Scheduler::insert(List& list, RequestId id) {
    const auto order = [this](RequestId a, RequestId b) {
        const int64_t of_a = requests_.at(a).place, of_b = requests_.at(b).place;
        return of_a != of_b ? of_a < of_b : a < b;
    };
    list.insert(std::upper_bound(list.begin(), list.end(), id, order), id);
}

void Scheduler::give(RequestId id, std::span<const int32_t> tokens) {
    State& state = requests_.at(id);
    QUAROT_CHECK(state.n_pending() == 0 && !state.in_step, "request {}", id);
    QUAROT_CHECK(state.length + std::ssize(tokens) <= state.request.max_tokens, "request {}", id);
    state.request.tokens.insert(state.request.tokens.end(), tokens.begin(), tokens.end());
}

void Scheduler::cancel(RequestId id) {
    const auto found = requests_.find(id);
    if (found == requests_.end()) return;
    if (found->second.in_step) {
        found->second.cancelled = true;
    } else {
        end(id);
    }
}

int64_t Scheduler::n_pending(RequestId id) const {
    const auto found = requests_.find(id);
    return found == requests_.end() ? 0 : found->second.n_pending();
}

StepPlan Scheduler::next() {
    QUAROT_CHECK(!in_step_);
    admit();
    StepPlan plan;
    try {
        fill(plan);
    } catch (...) {
        for (const Work& work : plan.work) requests_.at(work.request).in_step = false;
        throw;
    }
    in_step_ = !plan.work.empty();
    return plan;
}

void Scheduler::fill(StepPlan& plan) {
    int64_t budget = limits_.step_tokens;
    for (const RequestId id : running_) budget -= requests_.at(id).n_pending() > 0 ? 1 : 0;
    // A copy: taking pages may put requests back that come later.
    for (const RequestId id : std::vector(running_)) {
        State& state = requests_.at(id);
        const bool is_running = std::ranges::count(running_, id) > 0;
        const int64_t pending = state.n_pending();
        if (!is_running || pending == 0) continue;
        const int64_t more = std::min(pending - 1, budget);
        if (!take_pages(id, state.length + 1 + more)) continue;
        budget -= more;
        plan.work.push_back(work_of(id, state, 1 + more));
        state.in_step = true;
    }
}

Work Scheduler::work_of(RequestId id, const State& state, int64_t n_tokens) const {
    Work work = {
        .request = id,
        .first_position = state.length,
        .tokens = std::span(state.request.tokens)
                      .subspan(static_cast<size_t>(state.length), static_cast<size_t>(n_tokens)),
        // An abandoned step may have taken more.
        .pages =
            std::span(state.pages).first(static_cast<size_t>(pages_for(state.length + n_tokens))),
        .logits = state.request.logits,
        .seat = state.seat};
    if (work.logits == LogitsWanted::All) {
        work.n_without_logits =
            std::clamp(state.request.first_logits - state.length, int64_t{0}, n_tokens);
    }
    const bool has_wanted = work.logits == LogitsWanted::Last ? n_tokens == state.n_pending()
                                                              : work.n_without_logits < n_tokens;
    if (!has_wanted) work.logits = LogitsWanted::None;
    return work;
}

void Scheduler::commit(const StepPlan& plan, const std::vector<bool>& failed) {
    QUAROT_CHECK(failed.size() == plan.work.size());
    leave_step(plan);
    for (size_t i = 0; i < plan.work.size(); ++i) {
        const Work& work = plan.work[i];
        State& state = requests_.at(work.request);
        if (failed[i] || state.cancelled) {
            end(work.request);
            continue;
        }
        state.length += std::ssize(work.tokens);
        const bool has_new_page =
            state.length / limits_.page_tokens > work.first_position / limits_.page_tokens;
        if (state.request.shares_prefix && has_new_page) {
            prefixes_.publish(
                std::span(state.request.tokens).first(static_cast<size_t>(state.length)),
                state.pages, state.n_behind);
        }
        give_back_behind(state);
    }
}

void Scheduler::give_back_behind(State& state) {
    if (limits_.window == 0) return;
    const int64_t first_seen = std::max<int64_t>(state.length + 1 - limits_.window, 0);
    for (; (state.n_behind + 1) * limits_.page_tokens <= first_seen; ++state.n_behind) {
        pool_.release(state.pages[static_cast<size_t>(state.n_behind)]);
    }
}

void Scheduler::abandon(const StepPlan& plan) {
    leave_step(plan);
    for (const Work& work : plan.work) {
        if (requests_.at(work.request).cancelled) {
            end(work.request);
        } else if (limits_.restarts_abandoned) {
            put_back(work.request);
        }
    }
}

void Scheduler::leave_step(const StepPlan& plan) {
    QUAROT_CHECK(in_step_ || plan.work.empty());
    in_step_ = false;
    for (const Work& work : plan.work) requests_.at(work.request).in_step = false;
}

// Tokens whose pages a request has to itself.
int64_t Scheduler::own_tokens(const State& state) const {
    return limits_.admission == Admission::AllTokens ? state.request.max_tokens
                                                     : std::ssize(state.request.tokens);
}

// Pages that running requests may still take for such tokens; where they may grow beyond these, one
// more each, so that a newcomer is not put back at once.
int64_t Scheduler::promised() const {
    int64_t n = 0;
    for (const RequestId id : running_) {
        const State& state = requests_.at(id);
        const bool may_grow = pages_for(own_tokens(state)) < pages_for(state.request.max_tokens);
        n += still_needed(state) + (may_grow ? 1 : 0);
    }
    return n;
}

void Scheduler::admit() {
    while (!queue_.empty() && std::ssize(running_) < limits_.sequences) {
        const RequestId id = queue_.front();
        State& state = requests_.at(id);
        if (!admit(state)) return;
        state.seat = free_seat();
        queue_.pop_front();
        insert(running_, id);
    }
}

// The lowest one: fewer than `sequences` requests run.
int64_t Scheduler::free_seat() const {
    int64_t seat = 0;
    const auto is_taken = [&](RequestId id) { return requests_.at(id).seat == seat; };
    while (std::ranges::any_of(running_, is_taken)) ++seat;
    return seat;
}

// False: too few pages are left. With a window shared pages may hold up more than they save.
bool Scheduler::admit(State& state) {
    if (state.request.shares_prefix) {
        share_prefix(state);
        if (state.n_shared > 0 && begin(state)) return true;
    }
    return begin(state);
}

// With the pages that it has; without any if they are too few.
bool Scheduler::begin(State& state) {
    state.length = std::ssize(state.pages) * limits_.page_tokens;
    give_back_behind(state);
    const int64_t need = still_needed(state);
    if (pool_.free() + prefixes_.evictable() - promised() >= need) {
        return true;
    }
    release_pages(state);
    return false;
}

// Tokens whose logits are wanted have to run, and the last one in any case.
void Scheduler::share_prefix(State& state) {
    const std::span<const int32_t> tokens = state.request.tokens;
    const int64_t most = state.request.logits == LogitsWanted::All ? state.request.first_logits
                                                                   : std::ssize(tokens) - 1;
    state.pages = prefixes_.longest(tokens.first(static_cast<size_t>(most)));
    state.n_shared = std::ssize(state.pages);
}

// False: the request itself was the one to put back.
bool Scheduler::take_pages(RequestId id, int64_t n_tokens) {
    State& state = requests_.at(id);
    while (std::ssize(state.pages) < pages_for(n_tokens)) {
        if (pool_.free() == 0 && prefixes_.evictable() == 0) {
            const auto last = last_to_put_back();
            QUAROT_CHECK(last, "no page is left for request {}", id);
            put_back(*last);
            if (*last == id) return false;
            continue;
        }
        if (pool_.free() == 0) prefixes_.evict();
        state.pages.push_back(pool_.take());
    }
    return true;
}

std::optional<RequestId> Scheduler::last_to_put_back() const {
    for (auto id = running_.rbegin(); id != running_.rend(); ++id) {
        const State& state = requests_.at(*id);
        if (!state.in_step && state.n_pending() > 0) return *id;
    }
    return std::nullopt;
}

void Scheduler::put_back(RequestId id) {
    State& state = requests_.at(id);
    Request& request = state.request;
    if (request.logits == LogitsWanted::All) {
        request.first_logits = std::max(request.first_logits, state.length);
    }
    release_pages(state);
    std::erase(running_, id);
    insert(queue_, id);
    ++n_put_back_;
}

void Scheduler::release_pages(State& state) {
    for (int64_t page = state.n_behind; page < std::ssize(state.pages); ++page) {
        pool_.release(state.pages[static_cast<size_t>(page)]);
    }
    state.pages.clear();
    state.n_behind = state.n_shared = state.length = 0;
}

void Scheduler::end(RequestId id) {
    const auto found = requests_.find(id);
    release_pages(found->second);
    requests_.erase(found);
    std::erase(queue_, id);
    std::erase(running_, id);
}

}  // namespace quarot::runtime
