// Conversations, as they are given to a model.
#pragma once

#include <string>

namespace quarot {

struct ChatMessage {
    std::string role;     // "system", "user", "assistant", or what else the template knows
    std::string content;  // any bytes; special tokens in it stay text
};

// What templates take beside the messages, as JSON; empty: none.
struct ChatOptions {
    std::string tools;          // an array of function descriptions
    std::string variables;      // an object of at most 16 scalars: {"enable_thinking": false}
    bool begins_answer = true;  // ends where the model is to answer
};

}  // namespace quarot
