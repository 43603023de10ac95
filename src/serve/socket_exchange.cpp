#include "serve/socket_exchange.h"

namespace quarot::serve {

void SocketExchange::respond(HttpResponse response) {
    response.headers.emplace_back("X-Request-Id", options_.id);
    std::string bytes = head_of(response, std::ssize(response.body), options_.keep_alive);
    if (!options_.head_only) bytes += response.body;
    hand_over(std::move(bytes), response.status, true);
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
        if (self->has_left_) return callback();
        if (!self->is_complete) self->gone_ = std::move(callback);
    });
}

void SocketExchange::account(int64_t n_prompt, int64_t n_new) {
    options_.post([self = shared_from_this(), n_prompt, n_new] {
        self->prompt_tokens = n_prompt;
        self->new_tokens = n_new;
    });
}

void SocketExchange::written(size_t n) {
    backlog_ -= n;
    n_bytes += static_cast<int64_t>(n);
}

void SocketExchange::leave() {
    has_left_ = true;
    options_.wake = nullptr;
    if (auto callback = std::exchange(gone_, nullptr)) callback();
}

void SocketExchange::end() {
    has_left_ = true;
    options_.wake = gone_ = nullptr;
}

std::string SocketExchange::take_output() {
    return std::exchange(output_, "");
}

void SocketExchange::hand_over(std::string bytes, int of_status, bool completes) {
    backlog_ += bytes.size();
    options_.post([self = shared_from_this(), bytes = std::move(bytes), of_status, completes] {
        if (self->has_left_) return;
        self->output_ += bytes;
        if (of_status != 0) self->status = of_status;
        self->is_complete = self->is_complete || completes;
        self->call_wake();
    });
}

void SocketExchange::call_wake() {
    if (options_.wake) options_.wake();
}

}  // namespace quarot::serve
