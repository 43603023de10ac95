#include "runtime/generate.h"

#include <algorithm>
#include <chrono>

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

}  // namespace

GenerateResult generate(Engine& engine, std::span<const int32_t> prompt,
                        const GenerateOptions& options,
                        const std::function<bool(int32_t)>& on_token) {
    if (prompt.empty()) fail(ErrorCode::Usage, "the prompt is empty; give at least one token");
    const int64_t room = engine.limits().context - std::ssize(prompt);
    const int64_t limit =
        std::clamp<int64_t>(options.max_new_tokens, 0, std::max<int64_t>(room, 0));
    GenerateResult result;
    std::mt19937_64 random(options.seed);
    std::vector<int32_t> history(prompt.begin(), prompt.end());
    std::vector<float> logits(static_cast<size_t>(engine.weights().config.vocab));
    const Clock prefill;
    ScopedRequest request(engine, {.tokens = history, .max_tokens = std::ssize(prompt) + limit},
                          [&](const StepRows& rows) { rows.logits(0, 1, logits); });
    request.wait();
    result.prompt_seconds = prefill.seconds();

    const Clock decode;
    while (std::ssize(result.ids) < limit) {
        const int32_t id = sample(logits, history, options.sampling, random);
        if (std::count(options.end_tokens.begin(), options.end_tokens.end(), id) > 0) {
            result.finish_reason = FinishReason::Eos;
            break;
        }
        result.ids.push_back(id);
        history.push_back(id);
        if (!on_token(id)) {
            result.finish_reason = FinishReason::Stop;
            break;
        }
        if (std::ssize(result.ids) == limit) break;
        request.give(id);
        request.wait();
    }
    result.decode_seconds = decode.seconds();
    return result;
}

}  // namespace quarot::runtime
