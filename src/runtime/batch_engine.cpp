#include "runtime/batch_engine.h"

#include <algorithm>
#include <random>
#include <utility>

#include "core/check.h"
#include "core/error.h"
#include "core/log.h"

namespace quarot::runtime {

// An order on its way. Its members are used by the engine's thread, and while tokens are pending by
// that of the step.
class BatchEngine::Running {
  public:
    Running(Order order, std::shared_ptr<OrderClient> of, const Engine& engine)
        : client(std::move(of)),
          order_(std::move(order)),
          random_(order_.options.seed),
          history_(order_.prompt),
          vocab_(engine.weights().config.vocab) {
        const int64_t room =
            std::max(engine.limits().context - std::ssize(order_.prompt), int64_t{0});
        limit_ = std::clamp(order_.options.max_new_tokens, int64_t{0}, room);
    }

    Request request() const {
        return {.tokens = order_.prompt,
                .max_tokens = std::ssize(order_.prompt) + limit_,
                .logits = order_.scores_prompt ? LogitsWanted::All : LogitsWanted::Last,
                .shares_prefix = order_.shares_prefix,
                .priority = order_.priority};
    }

    void look(const StepRows& rows) {
        const int64_t n_of_prompt = std::clamp(
            std::ssize(order_.prompt) - 1 - rows.first_position(), int64_t{0}, rows.size());
        score_prompt(rows, n_of_prompt);
        for (int64_t row = n_of_prompt; row < rows.size(); ++row) {
            const int64_t next = rows.first_position() + row + 1;
            QUAROT_CHECK(next == std::ssize(history_), "{} {}", next, history_.size());
            choose(rows, row);
        }
    }

    int32_t chosen() const { return chosen_; }  // by the step of its last token
    // Hands the chosen token to the client: it runs next, or how the order ended.
    std::optional<FinishReason> take(int32_t id) {
        const auto n_made = [&] { return std::ssize(history_) - std::ssize(order_.prompt); };
        const FinishReason full =
            limit_ < order_.options.max_new_tokens ? FinishReason::Context : FinishReason::Length;
        if (n_made() == limit_) return full;
        if (std::ranges::count(order_.options.end_tokens, id) > 0) {
            client->end_token(id, score_);
            return FinishReason::Eos;
        }
        history_.push_back(id);
        if (!client->token(id, score_)) return FinishReason::Stop;
        if (n_made() == limit_) return full;
        return std::nullopt;
    }

    const std::shared_ptr<OrderClient> client;
    bool has_begun = false;

  private:
    std::span<const int32_t> made() const {
        return std::span(history_).subspan(order_.prompt.size());
    }
    // Without a penalty or a temperature the likeliest token is all that is asked of the logits.
    bool takes_best() const {
        const SamplingOptions& sampling = order_.options.sampling;
        return sampling.temperature == 0.0f && sampling.repetition_penalty == 1.0f &&
               order_.changes.empty() && !order_.n_top;
    }
    std::span<float> download(const StepRows& rows, int64_t row) {
        logits_.resize(static_cast<size_t>(vocab_));
        rows.logits(row, 1, logits_);
        return logits_;
    }

    // The tokens behind the first n rows.
    void score_prompt(const StepRows& rows, int64_t n) {
        std::vector<float> logits;  // of some rows: too large to keep
        for (int64_t first = 0; first < n; first += kLogitRows) {
            const int64_t some = std::min(kLogitRows, n - first);
            logits.resize(static_cast<size_t>(some * vocab_));
            rows.logits(first, some, logits);
            for (int64_t i = 0; i < some; ++i) {
                const auto row = std::span(logits).subspan(static_cast<size_t>(i * vocab_),
                                                           static_cast<size_t>(vocab_));
                const int64_t next = rows.first_position() + first + i + 1;
                const int32_t id = order_.prompt[static_cast<size_t>(next)];
                client->prompt_scored(score_token(row, id, order_.n_top.value_or(0)));
            }
        }
    }

    void choose(const StepRows& rows, int64_t row) {
        if (takes_best()) {
            chosen_ = rows.best(row);
            return;
        }
        std::span<float> logits = download(rows, row);
        std::vector<float> own;
        if (!order_.changes.empty()) {
            own.assign(logits.begin(), logits.end());
            apply(order_.changes, made(), own);
        }
        chosen_ = sample(own.empty() ? std::span<const float>(logits) : own, history_,
                         order_.options.sampling, random_);
        if (order_.n_top) score_ = score_token(logits, chosen_, *order_.n_top);
    }

    const Order order_;
    std::mt19937_64 random_;
    std::vector<int32_t> history_;  // the prompt and what followed
    int64_t vocab_;
    int64_t limit_ = 0;  // new tokens
    std::vector<float> logits_;
    int32_t chosen_ = 0;  // by the last step that looked at logits
    std::optional<TokenScore> score_;
};

BatchEngine::BatchEngine(std::vector<RankModel> ranks, const EngineLimits& limits,
                         std::function<void(int64_t)> on_step)
    : own_(std::make_unique<Engine>(std::move(ranks), limits)),
      engine_(*own_),
      on_step_(std::move(on_step)),
      thread_([this] { run(); }) {}

BatchEngine::BatchEngine(Engine& engine) : engine_(engine), thread_([this] { run(); }) {}

BatchEngine::~BatchEngine() {
    {
        const std::lock_guard lock(mutex_);
        stops_ = true;
    }
    changed_.notify_all();
    engine_.announce_change();
    thread_.join();
}

OrderId BatchEngine::submit(Order order, std::shared_ptr<OrderClient> client) {
    if (order.prompt.empty()) {
        fail(ErrorCode::Usage, "the prompt is empty; give at least one token");
    }
    check_sampling(order.options.sampling);
    auto running = std::make_shared<Running>(std::move(order), std::move(client), engine_);
    // Locked, so that the thread does not look for it before it is there.
    const std::lock_guard lock(mutex_);
    const OrderId id = engine_.add(
        running->request(), [running](const StepRows& rows) { running->look(rows); },
        thread_.get_id());
    orders_[id] = std::move(running);
    changed_.notify_all();
    return id;
}

void BatchEngine::cancel(OrderId id) {
    {
        const std::lock_guard lock(mutex_);
        cancelled_.push_back(id);
    }
    changed_.notify_all();
    engine_.announce_change();
}

void BatchEngine::run() {
    while (true) {
        const int64_t n_seen = engine_.n_changes();  // before what they may be is looked at
        if (has_stopped()) break;
        try {
            end_cancelled();
            const bool has_run = step();
            const bool has_moved = move_on();
            if (!has_run && !has_moved) engine_.wait_for_change(n_seen);
        } catch (...) {
            end_all(std::current_exception());
        }
    }
    end_all(nullptr);
}

// Once there is work.
bool BatchEngine::has_stopped() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return stops_ || !orders_.empty() || !cancelled_.empty(); });
    return stops_;
}

// False if nothing can run.
bool BatchEngine::step() {
    const int64_t n_before = engine_.n_tokens_run();
    if (!engine_.step()) return false;
    if (on_step_) on_step_(engine_.n_tokens_run() - n_before);
    return true;
}

void BatchEngine::end_cancelled() {
    std::vector<OrderId> ids;
    {
        const std::lock_guard lock(mutex_);
        std::erase_if(cancelled_, [this](OrderId id) { return !orders_.contains(id); });
        ids.swap(cancelled_);
    }
    std::ranges::sort(ids);
    ids.erase(std::ranges::unique(ids).begin(), ids.end());
    for (const OrderId id : ids) end(id, {.reason = FinishReason::Interrupted, .failure = nullptr});
}

// False if all wait for a step.
bool BatchEngine::move_on() {
    std::vector<std::pair<OrderId, std::shared_ptr<Running>>> orders;
    {
        const std::lock_guard lock(mutex_);
        orders.assign(orders_.begin(), orders_.end());
    }
    bool has_moved = false;
    for (const auto& [id, running] : orders) {
        std::optional<Ending> ending;
        try {
            has_moved = move_on(id, *running, ending) || has_moved;
        } catch (...) {  // memory is short
            ending = {.failure = std::current_exception()};
        }
        if (!ending) continue;
        end(id, *ending);
        has_moved = true;
    }
    return has_moved;
}

// False if it waits for a step. ending: how it ended, if it did.
bool BatchEngine::move_on(OrderId id, Running& running, std::optional<Ending>& ending) {
    const Engine::State state = engine_.state(id);
    if (state.failure != nullptr) {
        ending = {.failure = state.failure};
        return true;
    }
    if (state.n_run > 0 && !running.has_begun) {
        running.has_begun = true;
        running.client->begun();
    }
    if (state.n_pending > 0) return false;
    const int32_t chosen = running.chosen();
    if (const auto reason = running.take(chosen)) {
        ending = {.reason = *reason, .failure = nullptr};
        return true;
    }
    engine_.give(id, {&chosen, 1});
    return true;
}

void BatchEngine::end_all(const std::exception_ptr& failure) {
    std::vector<OrderId> ids;
    {
        const std::lock_guard lock(mutex_);
        for (const auto& [id, running] : orders_) ids.push_back(id);
    }
    for (const OrderId id : ids) {
        end(id, {.reason = FinishReason::Interrupted, .failure = failure});
    }
}

void BatchEngine::end(OrderId id, const Ending& ending) {
    engine_.cancel(id);
    std::shared_ptr<Running> running;
    {
        const std::lock_guard lock(mutex_);
        running = std::move(orders_.at(id));
        orders_.erase(id);
    }
    try {
        running->client->ended(ending);
    } catch (const std::exception& error) {
        log_warning("a client failed at the end of its order: {}", error.what());
    } catch (...) {
        log_warning("a client failed at the end of its order");
    }
}

}  // namespace quarot::runtime
