// Conversations, as they are given to a model.
#pragma once

#include <string>

namespace quarot {

struct ChatMessage {
    std::string role;     // "system", "user", "assistant", or what else the template knows
    std::string content;  // any bytes; special tokens in it stay text
};

// What templates take beside the messages.
struct ChatOptions {
    std::string tools;  // a JSON array of function descriptions; empty: none
    std::string
        variables;  // a JSON object of at most 16 scalars, {"enable_thinking": false}; empty: none
    bool begins_answer = true;  // ends where the model is to answer
};

}  // namespace quarot
