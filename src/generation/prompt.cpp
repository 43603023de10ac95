// Which ids does a prompt begin with, and is there room for them and for what follows?
#include "generation/prompt.h"

#include <algorithm>

#include "core/checked_math.h"
#include "core/error.h"

namespace quarot::generation {

std::vector<int32_t> encode_prompt(const tokenizer::Tokenizer& tokenizer, std::string_view text,
                                   tokenizer::AddBos bos) {
    std::vector<int32_t> ids = tokenizer.encode(text, bos);
    if (ids.empty() && tokenizer.bos()) ids.push_back(*tokenizer.bos());
    if (ids.empty()) {
        fail(ErrorCode::Usage, "the prompt is empty, and the model has no token to begin with");
    }
    return ids;
}

int64_t positions_needed(int64_t n_prompt, std::optional<int64_t> n_new, int64_t n_context,
                         std::string_view hint) {
    if (n_prompt > n_context) {
        fail(ErrorCode::Usage, "the prompt has {} tokens, but the context ends at {}{}", n_prompt,
             n_context, hint);
    }
    if (!n_new) return n_context;
    return std::min(n_context, checked_add(n_prompt, *n_new).value_or(n_context));
}

}  // namespace quarot::generation
