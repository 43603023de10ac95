#include "serve/socket_exchange.h"

namespace quarot::serve {

void SocketExchange::respond(HttpResponse response) {
    response.headers.emplace_back("X-Request-Id", options_.id);
    std::string bytes = head_of(response, std::ssize(response.body), options_.keep_alive);
    if (!options_.head_only) bytes += response.body;
    hand_over(bytes, response.status, true);
}

void SocketExchange::begin_stream(HttpResponse head) {
    head.headers.emplace_back("X-Request-Id", options_.id);
    hand_over(head_of(head, -1, options_.keep_alive), head.status, false);
}

void SocketExchange::send(std::string bytes) {
    if (!bytes.empty()) hand_over(chunk_of(bytes), 0, false);
}

void SocketExchange::end_stream() {
    hand_over(std::string(kLastChunk), 0, true);
}

void SocketExchange::drop() {
    options_.post([self = shared_from_this()] {
        self->is_cut = true;
        self->call_wake();
    });
}

void SocketExchange::on_gone(std::function<void()> callback) {
    options_.post([self = shared_from_this(), callback = std::move(callback)]() mutable {
        if (self->has_left()) return callback();
        if (!self->state().is_complete) self->gone_ = std::move(callback);
    });
}

void SocketExchange::account(int64_t n_prompt, int64_t n_new) {
    const std::lock_guard lock(mutex_);
    state_.prompt_tokens = n_prompt;
    state_.new_tokens = n_new;
}

SocketExchange::Output SocketExchange::take_output() {
    const std::lock_guard lock(mutex_);
    is_awaited_ = output_.empty();
    return {.bytes = std::exchange(output_, ""), .is_last = state_.is_complete};
}

AnswerState SocketExchange::state() const {
    const std::lock_guard lock(mutex_);
    return state_;
}

bool SocketExchange::has_left() const {
    const std::lock_guard lock(mutex_);
    return has_left_;
}

void SocketExchange::written(size_t n) {
    backlog_ -= n;
    n_bytes += static_cast<int64_t>(n);
}

void SocketExchange::leave() {
    end_of_reading();
    if (auto callback = std::exchange(gone_, nullptr)) callback();
}

void SocketExchange::end() {
    end_of_reading();
    gone_ = nullptr;
}

void SocketExchange::end_of_reading() {
    options_.wake = nullptr;
    const std::lock_guard lock(mutex_);
    has_left_ = true;
}

void SocketExchange::hand_over(const std::string& bytes, int of_status, bool completes) {
    {
        const std::lock_guard lock(mutex_);
        if (has_left_) return;
        backlog_ += bytes.size();
        output_ += bytes;
        if (of_status != 0) state_.status = of_status;
        state_.is_complete = state_.is_complete || completes;
        const bool wakes = std::exchange(is_awaited_, false) || completes;
        if (!wakes) return;
    }
    options_.post([self = shared_from_this()] { self->call_wake(); });
}

void SocketExchange::call_wake() {
    if (options_.wake) options_.wake();
}

}  // namespace quarot::serve
