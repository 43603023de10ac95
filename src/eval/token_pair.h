// A context and its continuation as tokens, split where lm-evaluation-harness splits them.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "tokenizer/tokenizer.h"

namespace quarot::eval {

struct TokenPair {
    std::vector<int32_t> context;       // at least one
    std::vector<int32_t> continuation;  // at least one
};

// The token that begins texts, else the one that ends them. Error{Unsupported} if the model has
// neither.
int32_t prefix_token(const tokenizer::Tokenizer& tokenizer);

// White space at the end of the context belongs to the continuation. Both are encoded as one text;
// the continuation is what is left of that behind as many tokens as the context has alone. An empty
// context is prefix_token(), with its error. Error{Usage} if no token is left for the continuation.
TokenPair encode_pair(const tokenizer::Tokenizer& tokenizer, std::string_view context,
                      std::string_view continuation, tokenizer::AddBos bos);

}  // namespace quarot::eval
