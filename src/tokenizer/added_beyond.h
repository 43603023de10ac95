// Added tokens of a folder for which its model has no embeddings.
#pragma once

#include <cstdint>
#include <string>

#include "tokenizer/tokenizer.h"

namespace quarot::tokenizer {

// A sentence about added tokens that have no row among n_embeddings, as fine-tuners leave them;
// empty if there are none. Error{Corrupt} if tokens that ordinary text is made of have none: then
// tokenizer and model do not belong together.
std::string note_of_added_beyond(const Tokenizer& tokenizer, int64_t n_embeddings);

}  // namespace quarot::tokenizer
