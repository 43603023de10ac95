// How texts are cut before byte-level merges, by the name that GGUF files give it.
#pragma once

#include <string_view>

#include "io/gguf_metadata.h"

namespace quarot::tokenizer {

struct GgufPreTokenizer {
    std::string_view name;
    std::string_view pattern;     // each match is a piece; empty: GPT-2's
    bool single_digits = false;   // cut apart first
    bool composes = false;        // NFC before anything else
    bool ignores_merges = false;  // of a piece that is a token itself
    bool adds_bos = false;        // where the file does not say
};

// As "tokenizer.ggml.pre" says; Error{Unsupported} with the list of those known.
const GgufPreTokenizer& gguf_pretokenizer(const io::GgufMetadata& metadata);

}  // namespace quarot::tokenizer
