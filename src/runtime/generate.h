// One prompt continued token by token.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "core/error.h"
#include "runtime/engine.h"
#include "runtime/sampler.h"

namespace quarot::runtime {

struct GenerateOptions {
    int64_t max_new_tokens = 0;  // at most; the engine's context bounds it, too
    SamplingOptions sampling;
    uint64_t seed = 0;
    std::vector<int32_t> end_tokens;  // generation ends before one of these
};

enum class FinishReason {
    Length,       // max_new_tokens
    Context,      // no room for more
    Eos,          // an end token
    Stop,         // on_token
    Interrupted,  // a signal or the thread's Watch
};

struct GenerateResult {
    std::vector<int32_t> ids;  // new tokens only, no end token
    FinishReason finish_reason = FinishReason::Length;
    ErrorCode interrupted_by = ErrorCode::Interrupted;  // or Terminated; read if Interrupted
    double prompt_seconds = 0.0;                        // 0 if interrupted before its end
    double decode_seconds = 0.0;
};

// prompt: at least one token. on_token is called with each new token; returning false ends with
// FinishReason::Stop after that token. A stop signal, or the thread's Watch, ends it between two
// steps, and what was made until then is the result.
GenerateResult generate(Engine& engine, std::span<const int32_t> prompt,
                        const GenerateOptions& options,
                        const std::function<bool(int32_t)>& on_token);

}  // namespace quarot::runtime
