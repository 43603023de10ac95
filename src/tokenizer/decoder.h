// What text do tokens spell? The decoder of tokenizer.json, one token at a time.
#pragma once

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "io/json.h"
#include "tokenizer/replace.h"
#include "tokenizer/vocabulary.h"

namespace quarot::tokenizer {

// The steps of the file, in order. Steps before Fuse or ByteLevel see tokens, those after it see
// one text, which reaches them in parts.
class Decoder {
  public:
    // Error{Unsupported} names a step or an order of steps we do not have. `json` is nullptr where
    // the file has null: then spaces stand between the tokens.
    Decoder(const io::Json* json, const Vocabulary& vocabulary);

    // Of each token
    struct ByteFallback {};  // runs of <0x00>..<0xFF> to text
    struct StripToken {
        char32_t content;
        size_t start;  // so many at most
        size_t stop;
    };
    struct MarksToSpaces {
        Replace others;
        Replace first;  // for the first token
    };
    struct EndsOfWords {  // a suffix becomes a space, but nothing in the last token
        Replace others;
        Replace last;
    };
    struct Join {};  // with spaces between

    // From tokens to one text
    struct ByteLevel {};  // characters of the alphabet to bytes, the whole to text

    // Of the whole
    struct StripText {
        char32_t content;
        size_t start;
        size_t stop;
    };
    struct ReplaceText {
        Replace replace;  // literal
    };

    using Step = std::variant<ByteFallback, Replace, StripToken, MarksToSpaces, EndsOfWords, Join,
                              ByteLevel, StripText, ReplaceText>;
    const std::vector<Step>& steps() const { return steps_; }

  private:
    void add(const io::Json& step, const Vocabulary& vocabulary);
    void add_replace(const io::Json& step);
    void add_strip(const io::Json& step);
    void add_metaspace(const io::Json& step);
    void add_ends_of_words(const io::Json& step);
    void refuse_after_fuse(const io::Json& step) const;

    std::vector<Step> steps_;
    bool fused_ = false;
    size_t growth_ = 1;
};

}  // namespace quarot::tokenizer
