#include "runtime/generate.h"

#include <algorithm>
#include <chrono>

#include "core/error.h"
#include "core/process.h"

namespace quarot::runtime {

namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

GenerateResult generate(Engine& engine, std::span<const int32_t> prompt,
                        const GenerateOptions& options,
                        const std::function<bool(int32_t)>& on_token) {
    if (prompt.empty()) fail(ErrorCode::Usage, "the prompt is empty; give at least one token");
    GenerateResult result;
    std::mt19937_64 random(options.seed);
    std::vector<int32_t> history(prompt.begin(), prompt.end());
    std::vector<float> logits(static_cast<size_t>(engine.weights().config.vocab));
    const int64_t room = engine.weights().n_positions - static_cast<int64_t>(prompt.size());
    const int64_t limit = std::min(options.max_new_tokens, room);

    const SequenceId sequence = engine.add_sequence();
    auto start = std::chrono::steady_clock::now();
    prefill(engine, sequence, prompt);
    result.prompt_seconds = seconds_since(start);

    start = std::chrono::steady_clock::now();
    while (static_cast<int64_t>(result.ids.size()) < limit) {
        throw_if_interrupted();
        engine.logits(0, 1, logits);
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
        if (static_cast<int64_t>(result.ids.size()) < limit) {
            const Chunk next = {sequence, {&history.back(), 1}, LogitsWanted::Last};
            engine.step({&next, 1});
        }
    }
    result.decode_seconds = seconds_since(start);
    engine.remove_sequence(sequence);
    return result;
}

}  // namespace quarot::runtime
