// A public request on its way: told tokens by the engine, asked for text by its handle.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "facade/listener.h"
#include "facade/model_impl.h"
#include "quarot/engine.h"
#include "runtime/batch_engine.h"

namespace quarot::facade {

class Submission : public runtime::OrderClient {
  public:
    // engine_thread: the one that calls the engine's part, and all callbacks.
    Submission(std::shared_ptr<const Model::Impl> model, std::vector<int32_t> prompt,
               RequestOptions options, std::thread::id engine_thread);

    runtime::Order order() const;
    // Behind submit(). The engine lives until this has ended.
    void set_place(runtime::BatchEngine& engine, runtime::OrderId id);

    // The handle's part.
    std::optional<std::string> next();
    GenerateResult wait();
    bool has_ended() const;
    void cancel();
    // Behind set_place(): no callback is called when it has returned.
    void leave();

    // The engine's part.
    bool token(int32_t id, const std::optional<runtime::TokenScore>& score) override;
    void ended(const runtime::Ending& ending) override;

  private:
    using Clock = std::chrono::steady_clock;

    bool pass_on(std::string_view piece);
    bool has_left() const;
    bool is_engine_thread() const { return std::this_thread::get_id() == engine_thread_; }
    template <typename Condition>
    void wait_until(std::unique_lock<std::mutex>& lock, const Condition& condition);
    // What the handle is given at last.
    void complete(const runtime::Ending& ending);

    const std::shared_ptr<const Model::Impl> model_;
    const std::vector<int32_t> prompt_;
    const RequestOptions options_;
    const runtime::GenerateOptions how_;
    const std::thread::id engine_thread_;
    const Clock::time_point since_ = Clock::now();

    // Of the engine's thread.
    const TextCallback on_piece_ = [this](std::string_view piece) { return pass_on(piece); };
    Listener listener_;
    Clock::time_point decode_since_ = since_;
    GenerateResult made_;

    mutable std::mutex mutex_;  // guards what follows
    std::condition_variable changed_;
    runtime::BatchEngine* engine_ = nullptr;  // null before and behind
    runtime::OrderId id_ = 0;
    std::string unread_;
    GenerateResult result_;
    std::exception_ptr failure_;
    bool has_ended_ = false;
    bool is_silent_ = false;  // on_end has returned
    bool has_left_ = false;
};

}  // namespace quarot::facade
