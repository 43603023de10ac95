// Which merges a vocabulary with scores stands for.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "io/gguf_metadata.h"
#include "tokenizer/gguf_vocabulary.h"

namespace quarot::tokenizer {

// SentencePiece's BPE joins the neighbours whose joint token has the highest score: every way to
// make a normal token of two is a merge, better scores first, then by ids (of the token, the left
// part and the right one). Error{Corrupt} unless every token has a score that is a number, and the
// merges stay within limits::kTokenizerBytes.
std::vector<std::pair<std::string, std::string>> scored_merges(const GgufVocabulary& vocabulary,
                                                               const io::GgufMetadata& metadata);

}  // namespace quarot::tokenizer
