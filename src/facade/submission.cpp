#include "facade/submission.h"

#include <utility>

#include "core/error.h"

namespace quarot::facade {

Submission::Submission(std::shared_ptr<const Model::Impl> model, std::vector<int32_t> prompt,
                       RequestOptions options, std::thread::id engine_thread)
    : model_(std::move(model)),
      prompt_(std::move(prompt)),
      options_(std::move(options)),
      how_(runtime_options(options_.generate, *model_)),
      engine_thread_(engine_thread),
      listener_(model_->internal_tokenizer(), prompt_, options_.generate, on_piece_) {
    if (options_.priority < 0 || options_.priority > runtime::kMaxPriority) {
        fail(ErrorCode::Usage, "priority is {}, expected 0 to {}", options_.priority,
             runtime::kMaxPriority);
    }
    made_.prompt_tokens = std::ssize(prompt_);
}

runtime::Order Submission::order() const {
    runtime::Order order;
    order.prompt = prompt_;
    order.options = how_;
    order.shares_prefix = options_.shares_prefix;
    order.priority = options_.priority;
    return order;
}

void Submission::set_place(runtime::BatchEngine& engine, runtime::OrderId id) {
    const std::lock_guard lock(mutex_);
    if (has_ended_) return;
    engine_ = &engine;
    id_ = id;
}

std::optional<std::string> Submission::next() {
    std::unique_lock lock(mutex_);
    wait_until(lock, [this] { return has_ended_ || !unread_.empty(); });
    if (!unread_.empty()) return std::exchange(unread_, "");
    if (failure_ != nullptr) std::rethrow_exception(failure_);
    return std::nullopt;
}

GenerateResult Submission::wait() {
    std::unique_lock lock(mutex_);
    wait_until(lock, [this] { return has_ended_; });
    if (failure_ != nullptr) std::rethrow_exception(failure_);
    return result_;
}

template <typename Condition>
void Submission::wait_until(std::unique_lock<std::mutex>& lock, const Condition& condition) {
    if (!condition() && is_engine_thread()) {
        fail(ErrorCode::Usage,
             "a callback of the engine waits for a request, which would wait for the callback");
    }
    changed_.wait(lock, condition);
}

bool Submission::has_ended() const {
    const std::lock_guard lock(mutex_);
    return has_ended_;
}

// Under the mutex, so that the engine is there: it waits for ended() at its own end.
void Submission::cancel() {
    const std::lock_guard lock(mutex_);
    if (engine_ != nullptr) engine_->cancel(id_);
}

void Submission::leave() {
    cancel();
    std::unique_lock lock(mutex_);
    has_left_ = true;
    if (!is_engine_thread()) changed_.wait(lock, [this] { return is_silent_; });
}

bool Submission::has_left() const {
    const std::lock_guard lock(mutex_);
    return has_left_;
}

bool Submission::token(int32_t id, const std::optional<runtime::TokenScore>& /*score*/) {
    const Clock::time_point now = Clock::now();
    if (made_.ids.empty()) {
        decode_since_ = now;
        made_.prompt_seconds = std::chrono::duration<double>(now - since_).count();
    }
    made_.ids.push_back(id);
    return listener_.take(id);
}

bool Submission::pass_on(std::string_view piece) {
    if (has_left()) return false;
    if (options_.on_text) return options_.on_text(piece);
    const std::lock_guard lock(mutex_);
    unread_ += piece;
    changed_.notify_all();
    return true;
}

void Submission::ended(const runtime::Ending& ending) {
    runtime::Ending last = ending;
    try {
        if (last.failure == nullptr) listener_.finish();
    } catch (...) {  // on_text
        last.failure = std::current_exception();
    }
    complete(last);
    const auto be_silent = [this] {
        const std::lock_guard lock(mutex_);
        is_silent_ = true;
        changed_.notify_all();
    };
    try {
        if (options_.on_end && !has_left()) options_.on_end();
    } catch (...) {
        be_silent();
        throw;  // to the log: the request has ended
    }
    be_silent();
}

void Submission::complete(const runtime::Ending& ending) {
    made_.text = listener_.take_text();
    made_.finish_reason = listener_.reason(ending.reason);
    if (!made_.ids.empty()) {
        made_.decode_seconds = std::chrono::duration<double>(Clock::now() - decode_since_).count();
    }
    const std::lock_guard lock(mutex_);
    result_ = std::move(made_);
    failure_ = ending.failure;
    has_ended_ = true;
    engine_ = nullptr;
    changed_.notify_all();
}

}  // namespace quarot::facade
