#include "facade/listener.h"

#include <limits>

#include "chat/turn_end.h"
#include "core/error.h"

namespace quarot::facade {

namespace {

std::vector<int32_t> end_tokens(const GenerateOptions& options, const Model::Impl& model) {
    if (options.ignore_end_tokens) return {};
    const std::vector<int32_t>& ends = model.weights.config.eos;
    if (!options.is_answer) return ends;
    return chat::turn_ends(ends, model.internal_tokenizer());
}

}  // namespace

runtime::GenerateOptions runtime_options(const GenerateOptions& options, const Model::Impl& model) {
    if (options.max_tokens < -1) {
        fail(ErrorCode::Usage,
             "max_tokens is {}, expected 0 or more, or -1 for all there is room for",
             options.max_tokens);
    }
    runtime::GenerateOptions result;
    result.max_new_tokens =
        options.max_tokens < 0 ? std::numeric_limits<int64_t>::max() : options.max_tokens;
    result.sampling = {.temperature = options.temperature,
                       .top_k = options.top_k,
                       .top_p = options.top_p,
                       .min_p = options.min_p,
                       .repetition_penalty = options.repetition_penalty};
    runtime::check_sampling(result.sampling);
    result.seed = options.seed;
    result.end_tokens = end_tokens(options, model);
    return result;
}

FinishReason Listener::reason(runtime::FinishReason reason) const {
    if (is_cancelled_) return FinishReason::Cancelled;
    if (stream_.stopped()) return FinishReason::Stop;
    switch (reason) {
        case runtime::FinishReason::Length:
            return FinishReason::Length;
        case runtime::FinishReason::Context:
            return FinishReason::Context;
        case runtime::FinishReason::Eos:
            return FinishReason::EndToken;
        case runtime::FinishReason::Stop:
            return FinishReason::Stop;
        case runtime::FinishReason::Interrupted:
            return FinishReason::Cancelled;
    }
    return FinishReason::Length;
}

void Listener::add(const std::string& piece) {
    if (piece.empty() || is_cancelled_) return;
    text_ += piece;
    is_cancelled_ = on_text_ && !on_text_(piece);
}

}  // namespace quarot::facade
