#include "runtime/generate.h"

#include <algorithm>
#include <chrono>
#include <random>
#include <utility>

#include "core/error.h"

namespace quarot::runtime {

namespace {

class Clock {
  public:
    double seconds() const {
        return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
    }

  private:
    std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

bool is_interruption(ErrorCode code) {
    return code == ErrorCode::Interrupted || code == ErrorCode::Terminated;
}

// One call of generate().
class Generation {
  public:
    Generation(Engine& engine, std::span<const int32_t> prompt, const GenerateOptions& options)
        : engine_(engine),
          options_(options),
          random_(options.seed),
          history_(prompt.begin(), prompt.end()),
          logits_(static_cast<size_t>(engine.weights().config.vocab)),
          room_(std::max<int64_t>(engine.limits().context - std::ssize(prompt), 0)) {}

    void run(const std::function<bool(int32_t)>& on_token) {
        const int64_t limit = std::clamp<int64_t>(options_.max_new_tokens, 0, room_);
        result.finish_reason =
            limit < options_.max_new_tokens ? FinishReason::Context : FinishReason::Length;
        ScopedRequest request(engine_,
                              {.tokens = history_, .max_tokens = std::ssize(history_) + limit},
                              [&](const StepRows& rows) { look(rows); });
        try {
            const Clock prefill;
            request.wait();
            result.prompt_seconds = prefill.seconds();
            decode(request, limit, on_token);
        } catch (const Error& error) {
            if (!is_interruption(error.code())) throw;
            result.finish_reason = FinishReason::Interrupted;
            result.interrupted_by = error.code();
        }
    }

    GenerateResult result;

  private:
    // Without a penalty or a temperature the likeliest token is all that is asked of the logits.
    bool takes_best() const {
        return options_.sampling.temperature == 0.0f &&
               options_.sampling.repetition_penalty == 1.0f;
    }
    void look(const StepRows& rows) {
        if (takes_best()) {
            best_ = rows.best(0);
        } else {
            rows.logits(0, 1, logits_);
        }
    }
    int32_t next() {
        return takes_best() ? best_ : sample(logits_, history_, options_.sampling, random_);
    }

    void decode(ScopedRequest& request, int64_t limit,
                const std::function<bool(int32_t)>& on_token) {
        const Clock decode;
        while (std::ssize(result.ids) < limit) {
            const int32_t id = next();
            if (std::ranges::count(options_.end_tokens, id) > 0) {
                result.finish_reason = FinishReason::Eos;
                break;
            }
            result.ids.push_back(id);
            history_.push_back(id);
            result.decode_seconds = decode.seconds();
            if (!on_token(id)) {
                result.finish_reason = FinishReason::Stop;
                break;
            }
            if (std::ssize(result.ids) == limit) break;
            request.give(id);
            request.wait();
        }
        result.decode_seconds = decode.seconds();
    }

    Engine& engine_;
    const GenerateOptions& options_;
    std::mt19937_64 random_;
    std::vector<int32_t> history_;
    std::vector<float> logits_;
    int32_t best_ = 0;
    int64_t room_;  // tokens after the prompt
};

}  // namespace

GenerateResult generate(Engine& engine, std::span<const int32_t> prompt,
                        const GenerateOptions& options,
                        const std::function<bool(int32_t)>& on_token) {
    if (prompt.empty()) fail(ErrorCode::Usage, "the prompt is empty; give at least one token");
    Generation generation(engine, prompt, options);
    generation.run(on_token);
    return std::move(generation.result);
}

}  // namespace quarot::runtime
