// An engine with a thread of its own: clients hand in prompts and are called with tokens.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include "runtime/engine.h"
#include "runtime/generate.h"
#include "runtime/logit_changes.h"
#include "runtime/token_score.h"

namespace quarot::runtime {

// A prompt to continue.
struct Order {
    std::vector<int32_t> prompt;  // at least one token
    GenerateOptions options;      // max_new_tokens 0: the prompt is read, and scored if asked for
    LogitChanges changes;
    std::optional<int64_t> n_top = {};  // scores of new tokens, each with so many likeliest
    bool scores_prompt = false;         // those of the prompt's tokens, too
    bool shares_prefix = true;          // as Request's, and the same for priority
    int priority = 0;
};

struct Ending {
    FinishReason reason = FinishReason::Length;  // Interrupted: cancelled
    std::exception_ptr failure;                  // or null; then the reason says nothing
};

// Who is told what becomes of an order. Called on the engine's thread, prompt_scored() on that of
// the step; must not call the engine but for submit, cancel and load. What it throws ends the order
// as its failure; what ended() throws goes to the log alone.
class OrderClient {
  public:
    virtual ~OrderClient() = default;
    // Its first tokens have run: it waits no longer.
    virtual void begun() {}
    // Of the prompt's second token and those behind it, in order, before any new token.
    virtual void prompt_scored(TokenScore&& /*score*/) {}
    // A new token; false ends the order behind it with FinishReason::Stop.
    virtual bool token(int32_t id, const std::optional<TokenScore>& score) = 0;
    // The end token before which the order ends.
    virtual void end_token(int32_t /*id*/, const std::optional<TokenScore>& /*score*/) {}
    // Once, at last. Its pages are free.
    virtual void ended(const Ending& ending) = 0;
};

using OrderId = RequestId;

// One thread steps for all. An order's tokens depend on its seed and prompt alone where the recipe
// quantizes activations and cache, whatever runs beside it and however often it is put back. All
// members may be called from any thread. Where others use its Engine, whoever steps runs the work
// of all: theirs here, and orders there.
class BatchEngine {
  public:
    // `ranks` as Engine's. on_step: told of each step's tokens, on the engine's thread. What it
    // throws ends all orders, as a step that breaks does.
    BatchEngine(std::vector<RankModel> ranks, const EngineLimits& limits,
                std::function<void(int64_t n_tokens)> on_step = {});
    BatchEngine(const model::Weights& weights, kernels::Backend& backend,
                const EngineLimits& limits, std::function<void(int64_t n_tokens)> on_step = {})
        : BatchEngine(one_rank(weights, backend), limits, std::move(on_step)) {}
    // Of an engine that others may use, too; it must outlive this.
    explicit BatchEngine(Engine& engine);
    // Cancels what has not ended.
    ~BatchEngine();
    BatchEngine(const BatchEngine&) = delete;
    BatchEngine& operator=(const BatchEngine&) = delete;

    // As Engine::add. Calls of the client may begin before it returns.
    OrderId submit(Order order, std::shared_ptr<OrderClient> client);
    // Takes effect before the next step; nothing if it has ended.
    void cancel(OrderId id);

    std::thread::id thread_id() const { return thread_.get_id(); }  // that calls clients
    EngineLoad load() { return engine_.load(); }
    const EngineLimits& limits() const { return engine_.limits(); }
    const model::Weights& weights() const { return engine_.weights(); }

  private:
    class Running;

    void run();
    bool has_stopped();
    bool step();
    void end_cancelled();
    bool move_on();
    bool move_on(OrderId id, Running& running, std::optional<Ending>& ending);
    void end_all(const std::exception_ptr& failure);
    void end(OrderId id, const Ending& ending);

    const std::unique_ptr<Engine> own_;  // or null
    Engine& engine_;
    std::function<void(int64_t)> on_step_;

    std::mutex mutex_;  // guards what follows
    std::condition_variable changed_;
    std::map<OrderId, std::shared_ptr<Running>> orders_;
    std::vector<OrderId> cancelled_;
    bool stops_ = false;

    std::thread thread_;  // the last member: it uses the others
};

}  // namespace quarot::runtime
