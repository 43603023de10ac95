// Which tokens does a generation begin with, and how far may it go?
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "tokenizer/tokenizer.h"

namespace quarot::generation {

// At least one token: of an empty text the one that begins texts. Error{Usage} if there is none.
std::vector<int32_t> encode_prompt(const tokenizer::Tokenizer& tokenizer, std::string_view text,
                                   tokenizer::AddBos bos);

// Positions that a run uses: no more than n_context, and than prompt and new tokens need.
// n_new empty: as many as there is room for. Error{Usage} if the prompt alone is longer; `hint`
// ends its message.
int64_t positions_needed(int64_t n_prompt, std::optional<int64_t> n_new, int64_t n_context,
                         std::string_view hint);

}  // namespace quarot::generation
