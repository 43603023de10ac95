// Which tokens end a turn of a conversation?
#pragma once

#include <cstdint>
#include <vector>

#include "tokenizer/tokenizer.h"

namespace quarot::chat {

// The model's own end tokens, of config.json and generation_config.json, and behind them the one of
// tokenizer_config.json: many models name the end of a turn there alone.
std::vector<int32_t> turn_ends(std::vector<int32_t> model_ends,
                               const tokenizer::Tokenizer& tokenizer);

}  // namespace quarot::chat
