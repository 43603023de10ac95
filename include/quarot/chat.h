// Conversations, as they are given to a model.
#pragma once

#include <string>

namespace quarot {

struct ChatMessage {
    std::string role;     // "system", "user", "assistant", or what else the template knows
    std::string content;  // any bytes; special tokens in it stay text
};

}  // namespace quarot
