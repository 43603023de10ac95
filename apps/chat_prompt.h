// The prompt of a chat: one user message, perhaps after a system message.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tokenizer/tokenizer.h"

namespace quarot::apps {

// As the folder's chat template puts it, ready for the answer. Special tokens in the messages stay
// text. Error{Unsupported} if the folder has no template.
std::vector<int32_t> encode_chat(const std::string& folder, const tokenizer::Tokenizer& tokenizer,
                                 const std::optional<std::string>& system, const std::string& user);

}  // namespace quarot::apps
