// Many requests to one model at once, each at its own pace, in steps that all of them share.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "quarot/export.h"
#include "quarot/model.h"
#include "quarot/session.h"

namespace quarot {

struct RequestOptions {
    GenerateOptions generate = {};
    int priority = 0;  // 0 to 8: waits and runs as one that came 32 * priority requests earlier
    // May begin with cached tokens of earlier prompts, and leaves its own to later ones. How soon
    // the first piece comes tells then that somebody began alike.
    bool shares_prefix = true;

    // Both are called on the engine's thread, and everybody's next token waits for them. They may
    // submit, cancel and ask for the load, but wait for nothing. What they throw ends the request.
    TextCallback on_text = {};          // takes what next() would give; false ends the request
    std::function<void()> on_end = {};  // once, at last: wait() does not wait any more
};

// A handle to one request, of which there is one. Any thread may use it. It may outlive its engine.
class QUAROT_API Request {
  public:
    Request(Request&&) noexcept;
    Request& operator=(Request&&) noexcept;
    // Cancels what has not ended. No callback is called behind it.
    ~Request();

    // Waits for new text and takes it: whole characters, never empty. Nothing once all is taken and
    // the request has ended. Throws what ended it.
    std::optional<std::string> next();
    // Waits for the end: the same text, whole. prompt_seconds count from submit(). Throws what
    // ended it: Error{Numeric} for a NaN or Inf in it, what a callback threw, what broke a step.
    GenerateResult wait();
    bool has_ended() const;
    // Takes effect before the next step, while the prompt is read, too; what was made until then is
    // the result, FinishReason::Cancelled. Its part of the cache is free when wait() returns.
    void cancel();

    struct Impl;

  private:
    explicit Request(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
    friend class Engine;
};

// Between two steps.
struct EngineLoad {
    int64_t running = 0;  // requests
    int64_t waiting = 0;
    int64_t cache_tokens = 0;           // that the cache has room for
    int64_t cache_tokens_used = 0;      // by requests that run
    int64_t cache_tokens_reusable = 0;  // of earlier prompts, given up where room is needed
    int64_t put_back = 0;               // how often a request gave its room to others, so far
};

// A thread of its own, which runs the requests of all. They wait and run in order of arrival, as
// many at once as LoadOptions says: prompts in chunks beside tokens of others. A request's text
// depends on its prompt, options and seed alone, in recipes that quantize activations and cache: it
// is that of Session::generate(), whatever runs beside it. Beginnings that several prompts share, a
// long system message or a conversation so far, are computed once for as long as the cache has
// room.
//
// Any thread may use it. It shares cache and steps with the model's sessions and its other engines;
// so a session's callback that waits for a request may wait for ever, for the room that the session
// has.
class QUAROT_API Engine {
  public:
    explicit Engine(const Model& model);
    Engine(Engine&&) noexcept;
    Engine& operator=(Engine&&) noexcept;
    // Cancels what has not ended. Not within a callback.
    ~Engine();

    // Error{Usage} for options that cannot be and for a prompt without tokens or longer than the
    // context, Error{OutOfMemory} for one that never fits the cache, Error{NotFound} without a
    // tokenizer. With max_tokens -1 a request holds room for a whole context until it ends, unless
    // the cache is overcommitted (LoadOptions).
    Request submit(std::string_view prompt, RequestOptions options = {});
    // The prompt as tokens: those of Model::chat_prompt().
    Request submit(std::span<const int32_t> prompt, RequestOptions options = {});

    EngineLoad load() const;  // sessions count

    struct Impl;

  private:
    std::unique_ptr<Impl> impl_;
};

}  // namespace quarot
