// The prompt of a chat: its messages as the folder's template puts them.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "chat/chat_template.h"
#include "tokenizer/tokenizer.h"

namespace quarot::apps {

// Ready for the answer. Special tokens in the messages stay text. Error{Unsupported} if the folder
// has no template.
std::vector<int32_t> encode_chat(const std::string& folder, const tokenizer::Tokenizer& tokenizer,
                                 std::span<const chat::Message> messages);

}  // namespace quarot::apps
