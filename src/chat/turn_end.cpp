#include "chat/turn_end.h"

namespace quarot::chat {

std::vector<int32_t> turn_ends(std::vector<int32_t> model_ends,
                               const tokenizer::Tokenizer& tokenizer) {
    if (tokenizer.eos()) model_ends.push_back(*tokenizer.eos());
    return model_ends;
}

}  // namespace quarot::chat
