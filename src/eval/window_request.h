// A window on its way through an engine, a step at a time if nothing else runs there.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "eval/window.h"
#include "runtime/engine.h"

namespace quarot::eval {

class WindowRequest {
  public:
    // look sees the rows from the window's first_scored on. The window must outlive it.
    WindowRequest(runtime::Engine& engine, const Window& window, runtime::Look look);

    bool finished() const { return n_run_ == std::ssize(window_.inputs); }
    int64_t n_run() const { return n_run_; }  // inputs
    void run_piece();

  private:
    runtime::Engine& engine_;
    const Window& window_;
    runtime::Look look_;
    int64_t n_run_ = 0;
    std::optional<runtime::ScopedRequest> request_;
};

}  // namespace quarot::eval
