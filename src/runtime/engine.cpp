#include "runtime/engine.h"

#include <algorithm>
#include <utility>

#include "core/check.h"
#include "core/checked_math.h"
#include "core/error.h"
#include "core/process.h"
#include "runtime/token_ids.h"

namespace quarot::runtime {

namespace {

EngineLimits completed(EngineLimits limits, const model::Weights& weights,
                       const kernels::Backend& backend) {
    QUAROT_CHECK(limits.context > 0 && limits.context <= weights.n_positions, "{}", limits.context);
    const int64_t pages = ceil_div(limits.context, weights.kv_descriptor().page_tokens);
    if (limits.n_pages == 0) limits.n_pages = pages * limits.sequences;
    if (limits.step_tokens == 0) {
        limits.step_tokens = std::max(backend.traits().step_tokens, limits.sequences);
    }
    return limits;
}

model::StepSize step_size(const EngineLimits& limits, const model::Weights& weights) {
    const int64_t all = checked_mul(limits.context, limits.sequences).value_or(limits.step_tokens);
    const int64_t tokens = std::max(std::min(all, limits.step_tokens), limits.sequences);
    return {.tokens = tokens,
            .sequences = limits.sequences,
            .pages = ceil_div(limits.context, weights.kv_descriptor().page_tokens),
            .logit_rows = std::max(std::min(tokens, kLogitRows), limits.sequences)};
}

}  // namespace

Engine::Engine(std::vector<RankModel> ranks, const EngineLimits& limits)
    : limits_(completed(limits, ranks.front().weights, ranks.front().backend)),
      executor_(ranks, step_size(limits_, ranks.front().weights), limits_.n_pages),
      scheduler_({.n_pages = limits_.n_pages,
                  .page_tokens = weights().kv_descriptor().page_tokens,
                  .sequences = limits_.sequences,
                  .step_tokens = executor_.size().tokens,
                  .window = weights().config.longest_window(),
                  .admission = limits_.admission,
                  .restarts_abandoned = weights().kv_descriptor().k.by_channel()}) {}

RequestId Engine::add(Request request, Look look, std::thread::id giver) {
    require_in_vocabulary(request.tokens, weights().config.vocab);
    if (request.max_tokens > limits_.context) {
        fail(ErrorCode::Usage, "{} tokens do not fit the context of {} positions",
             request.max_tokens, limits_.context);
    }
    const std::lock_guard lock(mutex_);
    const RequestId id = scheduler_.add(std::move(request));
    clients_[id] = {std::move(look), giver, nullptr};
    change();
    return id;
}

void Engine::give(RequestId id, std::span<const int32_t> tokens) {
    require_in_vocabulary(tokens, weights().config.vocab);
    const std::lock_guard lock(mutex_);
    scheduler_.give(id, tokens);
    change();
}

void Engine::cancel(RequestId id) {
    std::unique_lock lock(mutex_);
    scheduler_.cancel(id);
    // A step may still call the look, so that its owner waits for the step to end.
    changed_.wait(lock, [&] { return !scheduler_.has(id); });
    clients_.erase(id);
    change();
}

// Under the mutex.
void Engine::change() {
    ++n_changes_;
    changed_.notify_all();
}

void Engine::wait_for_change(int64_t seen) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return n_changes_ != seen; });
}

void Engine::announce_change() {
    const std::lock_guard lock(mutex_);
    change();
}

void Engine::wait(RequestId id) {
    wait(id, [] { throw_if_interrupted(); });
}

void Engine::wait(RequestId id, const std::function<void()>& between_steps) {
    std::unique_lock lock(mutex_);
    Client& client = clients_.at(id);
    client.thread = std::this_thread::get_id();
    const auto waits = [&] { return client.failure == nullptr && scheduler_.n_pending(id) > 0; };
    while (waits()) {
        lock.unlock();
        between_steps();
        lock.lock();
        if (in_step_) {
            changed_.wait(lock, [&] { return !in_step_; });
        } else if (waits()) {  // still: another thread's step may have served it meanwhile
            if (!run_step(lock)) wait_for_others(lock);
        }
    }
    if (client.failure != nullptr) std::rethrow_exception(client.failure);
}

bool Engine::step() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return !in_step_; });
    return run_step(lock);
}

Engine::State Engine::state(RequestId id) {
    const std::lock_guard lock(mutex_);
    const bool has_ended = !scheduler_.has(id);
    return {.failure = clients_.at(id).failure,
            .n_run = has_ended ? 0 : scheduler_.length(id),
            .n_pending = scheduler_.n_pending(id)};
}

EngineLoad Engine::load() {
    const std::lock_guard lock(mutex_);
    const int64_t cached = scheduler_.prefixes().evictable();
    return {.n_running = std::ssize(scheduler_.running()),
            .n_waiting = std::ssize(scheduler_.queue()),
            .n_pages = scheduler_.pool().size(),
            .n_pages_used = scheduler_.pool().size() - scheduler_.pool().free() - cached,
            .n_pages_cached = cached,
            .n_put_back = scheduler_.n_put_back()};
}

// False if there is nothing to run.
bool Engine::run_step(std::unique_lock<std::mutex>& lock) {
    const StepPlan plan = scheduler_.next();
    if (plan.work.empty()) return false;
    std::vector<std::exception_ptr> failures;
    std::vector<bool> failed;
    std::exception_ptr broken;
    try {
        std::vector<const Look*> looks;
        looks.reserve(plan.work.size());
        for (const Work& work : plan.work) looks.push_back(&clients_.at(work.request).look);
        failed.resize(plan.work.size());
        in_step_ = true;
        lock.unlock();
        failures = run(plan, looks);
    } catch (...) {
        broken = std::current_exception();
    }
    if (!lock.owns_lock()) lock.lock();
    in_step_ = false;
    change();
    if (broken != nullptr) {
        scheduler_.abandon(plan);
        std::rethrow_exception(broken);
    }
    for (size_t i = 0; i < failures.size(); ++i) {
        failed[i] = failures[i] != nullptr;
        clients_.at(plan.work[i].request).failure = failures[i];
    }
    scheduler_.commit(plan, failed);
    return true;
}

std::vector<std::exception_ptr> Engine::run(const StepPlan& plan,
                                            const std::vector<const Look*>& looks) {
    const std::vector<kernels::Site> sites = executor_.run(plan);
    for (const Work& work : plan.work) n_tokens_run_ += std::ssize(work.tokens);
    std::vector<std::exception_ptr> failures(plan.work.size());
    for (size_t i = 0; i < failures.size(); ++i) {
        const int64_t first = executor_.first_row(i), n = executor_.first_row(i + 1) - first;
        try {
            if (sites[i] != kernels::kNoSite) {
                fail(ErrorCode::Numeric, "{}: NaN or Inf {}", weights().name,
                     model::describe(sites[i]));
            }
            if (n == 0 || !*looks[i]) continue;
            const int64_t end = plan.work[i].first_position + std::ssize(plan.work[i].tokens);
            (*looks[i])(StepRows(executor_, first, n, end - n));
        } catch (...) {
            failures[i] = std::current_exception();
        }
    }
    return failures;
}

// Pages are held by requests whose clients have not given their next token yet.
void Engine::wait_for_others(std::unique_lock<std::mutex>& lock) {
    for (const RequestId id : scheduler_.running()) {
        if (clients_.at(id).thread != std::this_thread::get_id()) continue;
        fail(ErrorCode::OutOfMemory, "the KV cache of {} pages is full", limits_.n_pages);
    }
    changed_.wait(lock);
}

}  // namespace quarot::runtime
