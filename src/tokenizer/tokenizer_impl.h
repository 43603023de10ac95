// What a Tokenizer is made of: the sections of tokenizer.json and how they work together.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/json.h"
#include "tokenizer/added_tokens.h"
#include "tokenizer/bpe.h"
#include "tokenizer/declared_tokens.h"
#include "tokenizer/decoder.h"
#include "tokenizer/normalizer.h"
#include "tokenizer/piece_encoder.h"
#include "tokenizer/post_processor.h"
#include "tokenizer/pretokenizer.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/tokenizer_config.h"
#include "tokenizer/vocabulary.h"

namespace quarot::tokenizer {

struct Tokenizer::Impl {
    // `json` is a whole tokenizer.json.
    Impl(const io::Json& json, const FilesBeside& beside);
    Impl(const Impl&) = delete;  // bpe points to vocabulary
    Impl& operator=(const Impl&) = delete;

    // Appends the ids of a valid UTF-8 text without what the post-processor adds.
    void encode_text(std::string_view text, std::span<const TextRange> plain,
                     std::vector<int32_t>& ids) const;

    // What stands between added tokens.
    struct Stretch {
        std::string_view text;
        std::vector<TextRange> plain;  // of special tokens that are yet to be looked for
        std::string changed;           // what `text` is a view of, once it has been changed
        bool first;                    // whether the whole text begins with it
    };
    void normalize(Stretch& stretch, Normalizer::Worker& worker) const;

    // The token that decoding sees; nullptr for ids that have none and, if asked, special ones.
    const std::string* token_to_decode(int32_t id, bool skip_special) const;

    // The id of a token that tokenizer_config.json names; Error{Corrupt} if it is none of ours.
    std::optional<int32_t> id_of_named(std::string_view name) const;
    std::optional<int32_t> find_bos() const;

    std::string source;  // for messages
    Vocabulary vocabulary;
    Normalizer normalizer;
    AddedTokens added;
    PreTokenizer pretokenizer;
    Bpe bpe;
    PostProcessor post_processor;
    Decoder decoder;
    TokenizerConfig config;
    std::optional<int32_t> bos;
    std::optional<int32_t> eos;
};

}  // namespace quarot::tokenizer
