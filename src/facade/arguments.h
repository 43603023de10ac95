// What callers may pass, checked at the door: below, wrong values count as our own bugs.
#pragma once

#include <cstdint>
#include <span>

#include "quarot/tokenizer.h"
#include "tokenizer/tokenizer.h"

namespace quarot::facade {

// threads as asked for, all physical cores for 0. Error{Usage}.
int threads_or_all(int threads);

tokenizer::AddBos add_bos(SpecialTokens special);

// Error{Usage} if there is none, or one outside [0, vocab).
void require_tokens(std::span<const int32_t> tokens, int64_t vocab);

}  // namespace quarot::facade
