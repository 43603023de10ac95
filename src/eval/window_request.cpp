#include "eval/window_request.h"

#include <algorithm>
#include <utility>

namespace quarot::eval {

WindowRequest::WindowRequest(runtime::Engine& engine, const Window& window, runtime::Look look)
    : engine_(engine), window_(window), look_(std::move(look)) {}

void WindowRequest::run_piece() {
    const auto rest = std::span(window_.inputs).subspan(static_cast<size_t>(n_run_));
    // The first piece reaches what is scored, however many steps that takes.
    const int64_t wanted =
        std::max(engine_.limits().step_tokens, window_.first_scored + 1 - n_run_);
    const auto piece = rest.first(std::min(static_cast<size_t>(wanted), rest.size()));
    if (request_) {
        request_->give(piece);
    } else {
        request_.emplace(engine_,
                         runtime::Request{.tokens = {piece.begin(), piece.end()},
                                          .max_tokens = std::ssize(window_.inputs),
                                          .logits = runtime::LogitsWanted::All,
                                          .first_logits = window_.first_scored,
                                          .shares_prefix = false},
                         look_);
    }
    request_->wait();
    n_run_ += std::ssize(piece);
}

}  // namespace quarot::eval
