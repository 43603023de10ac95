// Which arguments of the public functions are refused before any work begins?
#include "facade/arguments.h"

#include "core/error.h"
#include "core/thread_pool.h"
#include "runtime/token_ids.h"

namespace quarot::facade {

namespace {

constexpr int kMaxThreads = 1024;

}  // namespace

int threads_or_all(int threads) {
    if (threads == 0) return physical_cores();
    if (threads < 0 || threads > kMaxThreads) {
        fail(ErrorCode::Usage, "threads is {}, expected 1 to {}, or 0 for all cores", threads,
             kMaxThreads);
    }
    return threads;
}

tokenizer::AddBos add_bos(SpecialTokens special) {
    return special == SpecialTokens::Add ? tokenizer::AddBos::Auto : tokenizer::AddBos::None;
}

void require_tokens(std::span<const int32_t> tokens, int64_t vocab) {
    if (tokens.empty()) fail(ErrorCode::Usage, "no tokens are given, expected at least one");
    runtime::require_in_vocabulary(tokens, vocab);
}

}  // namespace quarot::facade
