#include "eval/token_pair.h"

#include <algorithm>
#include <string>

#include "core/error.h"
#include "eval/plain_text.h"
#include "io/text.h"

namespace quarot::eval {

namespace {

TokenPair after_nothing(const tokenizer::Tokenizer& tokenizer, std::string_view continuation) {
    TokenPair pair = {.context = {prefix_token(tokenizer)},
                      .continuation = tokenizer.encode(continuation, tokenizer::AddBos::None)};
    // A continuation that spells that token itself has it once.
    if (!pair.continuation.empty() && pair.continuation.front() == pair.context.front()) {
        pair.continuation.erase(pair.continuation.begin());
    }
    return pair;
}

}  // namespace

int32_t prefix_token(const tokenizer::Tokenizer& tokenizer) {
    const auto token = tokenizer.bos() ? tokenizer.bos() : tokenizer.eos();
    if (token) return *token;
    fail(
        ErrorCode::Unsupported,
        "{}: nothing stands before the text, and the model has no token that begins or ends a text "
        "to stand there",
        tokenizer.source());
}

TokenPair encode_pair(const tokenizer::Tokenizer& tokenizer, std::string_view context,
                      std::string_view continuation, tokenizer::AddBos bos) {
    const std::string whole = std::string(context) + std::string(continuation);
    const std::string_view kept = without_space_at_end(context);
    TokenPair pair;
    pair.context = tokenizer.encode(kept, bos);
    if (pair.context.empty()) {
        pair = after_nothing(tokenizer, std::string_view(whole).substr(kept.size()));
    } else {
        pair.continuation = tokenizer.encode(whole, bos);
        const size_t n = std::min(pair.context.size(), pair.continuation.size());
        pair.continuation.erase(pair.continuation.begin(),
                                pair.continuation.begin() + static_cast<std::ptrdiff_t>(n));
    }
    if (pair.continuation.empty()) {
        fail(ErrorCode::Usage,
             "the continuation \"{}\" has no token of its own behind its context \"{}\"",
             io::printable(continuation), io::printable(context));
    }
    return pair;
}

}  // namespace quarot::eval
