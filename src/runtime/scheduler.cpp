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

RequestId Scheduler::add(Request request) {
    const int64_t n = std::ssize(request.tokens);
    QUAROT_CHECK(n > 0 && request.max_tokens >= n, "{} {}", n, request.max_tokens);
    QUAROT_CHECK(request.first_logits >= 0 && request.first_logits < n, "{} {}",
                 request.first_logits, n);
    if (pages_for(request.max_tokens) > limits_.n_pages) {
        fail(ErrorCode::OutOfMemory, "{} tokens need {} pages of {} of the KV cache, which has {}",
             request.max_tokens, pages_for(request.max_tokens), limits_.page_tokens,
             limits_.n_pages);
    }
    const RequestId id = next_id_++;
    requests_[id].request = std::move(request);
    queue_.push_back(id);
    return id;
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
    int64_t budget = limits_.step_tokens;
    for (const RequestId id : running_) budget -= requests_.at(id).n_pending() > 0 ? 1 : 0;
    StepPlan plan;
    for (const RequestId id : running_) {
        State& state = requests_.at(id);
        const int64_t pending = state.n_pending();
        if (pending == 0) continue;
        const int64_t more = std::min(pending - 1, budget);
        budget -= more;
        take_pages(state, state.length + 1 + more);
        state.in_step = true;
        plan.work.push_back(work_of(id, state, 1 + more));
    }
    in_step_ = !plan.work.empty();
    return plan;
}

Work Scheduler::work_of(RequestId id, const State& state, int64_t n_tokens) {
    Work work = {
        .request = id,
        .first_position = state.length,
        .tokens = std::span(state.request.tokens)
                      .subspan(static_cast<size_t>(state.length), static_cast<size_t>(n_tokens)),
        .pages = state.pages,
        .logits = state.request.logits};
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
        if (!state.request.shares_prefix || !has_new_page) continue;
        prefixes_.publish(std::span(state.request.tokens).first(static_cast<size_t>(state.length)),
                          state.pages);
    }
}

void Scheduler::abandon(const StepPlan& plan) {
    leave_step(plan);
    for (const Work& work : plan.work) {
        if (requests_.at(work.request).cancelled) end(work.request);
    }
}

void Scheduler::leave_step(const StepPlan& plan) {
    QUAROT_CHECK(in_step_ || plan.work.empty());
    in_step_ = false;
    for (const Work& work : plan.work) requests_.at(work.request).in_step = false;
}

// Pages that running requests may still take.
int64_t Scheduler::promised() const {
    int64_t n = 0;
    for (const RequestId id : running_) {
        const State& state = requests_.at(id);
        n += pages_for(state.request.max_tokens) - std::ssize(state.pages);
    }
    return n;
}

void Scheduler::admit() {
    while (!queue_.empty() && std::ssize(running_) < limits_.sequences) {
        const RequestId id = queue_.front();
        if (!admit(requests_.at(id))) return;
        queue_.pop_front();
        running_.push_back(id);
    }
}

// False: too few pages are left.
bool Scheduler::admit(State& state) {
    if (state.request.shares_prefix) {
        // Tokens whose logits are wanted have to run, and the last one in any case.
        const std::span<const int32_t> tokens = state.request.tokens;
        const int64_t most = state.request.logits == LogitsWanted::All ? state.request.first_logits
                                                                       : std::ssize(tokens) - 1;
        state.pages = prefixes_.longest(tokens.first(static_cast<size_t>(most)));
    }
    const int64_t need = pages_for(state.request.max_tokens) - std::ssize(state.pages);
    if (pool_.free() + prefixes_.evictable() - promised() >= need) {
        state.length = std::ssize(state.pages) * limits_.page_tokens;
        return true;
    }
    for (const PageId page : state.pages) pool_.release(page);
    state.pages.clear();
    return false;
}

void Scheduler::take_pages(State& state, int64_t n_tokens) {
    while (std::ssize(state.pages) < pages_for(n_tokens)) {
        if (pool_.free() == 0) prefixes_.evict();
        state.pages.push_back(pool_.take());
    }
}

void Scheduler::end(RequestId id) {
    const auto found = requests_.find(id);
    for (const PageId page : found->second.pages) pool_.release(page);
    requests_.erase(found);
    std::erase(queue_, id);
    std::erase(running_, id);
}

}  // namespace quarot::runtime
