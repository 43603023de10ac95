// The added tokens that the files of a model folder declare, in tokenizer.json and beside it.
#pragma once

#include <string>
#include <vector>

#include "io/json.h"
#include "tokenizer/files_beside.h"
#include "tokenizer/token_finder.h"
#include "tokenizer/vocabulary.h"

namespace quarot::tokenizer {

struct DeclaredToken {
    AddedToken token;
    std::string place;  // for messages
};

// added_tokens of tokenizer.json in its order, then what the transformers package adds to them:
// added_tokens_decoder of tokenizer_config.json by rising id or, in folders without it,
// added_tokens.json; and special tokens that tokenizer_config.json names (without the decoder:
// special_tokens_map.json, too) and the model's vocabulary has. A token beside tokenizer.json that
// has no id, or one that belongs to another token, is left out with a warning. `vocabulary` is the
// model's own. Error{Corrupt} for what is no list of tokens.
std::vector<DeclaredToken> declared_tokens(const io::Json& tokenizer, const FilesBeside& beside,
                                           const Vocabulary& vocabulary);

}  // namespace quarot::tokenizer
