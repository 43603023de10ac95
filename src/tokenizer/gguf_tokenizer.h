// The vocabulary of a GGUF file as the files that a model folder has in its place.
#pragma once

#include <string>

#include "io/gguf_metadata.h"

namespace quarot::tokenizer {

// The texts of tokenizer.json and tokenizer_config.json that tell what the metadata tells: both
// kinds of vocabulary, byte-level BPE with merges ("gpt2") and SentencePiece's BPE by scores
// ("llama"). Error{Unsupported} for other kinds, and for pre-tokenizers that are not known, with a
// list of those that are; Error{Corrupt} for lists that do not fit each other. Without a vocabulary
// the first is Error{NotFound}, and the second has a chat template at most.
bool has_vocabulary(const io::GgufMetadata& metadata);
std::string gguf_tokenizer_json(const io::GgufMetadata& metadata);
std::string gguf_tokenizer_config(const io::GgufMetadata& metadata);

}  // namespace quarot::tokenizer
