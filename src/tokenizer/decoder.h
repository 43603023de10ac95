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
    // Error{Unsupported} names a step or an order of steps we do not have; null is one of them.
    Decoder(const io::Json* json, const std::string& source, const Vocabulary& vocabulary);

    struct ByteLevel {};     // characters of the alphabet to bytes, the whole to text
    struct ByteFallback {};  // runs of tokens <0x00>..<0xFF> to text
    struct StripToken {      // of each token
        char32_t content;
        size_t start;  // so many at most
        size_t stop;
    };
    struct StripText {  // of the whole
        char32_t content;
        size_t start;
    };
    using Step = std::variant<ByteLevel, ByteFallback, Replace, StripToken, StripText>;
    const std::vector<Step>& steps() const { return steps_; }

  private:
    void add(const io::Json& step, const Vocabulary& vocabulary);
    void add_strip(const io::Json& step);
    void refuse_after_fuse(const io::Json& step) const;

    std::vector<Step> steps_;
    bool fused_ = false;
    size_t growth_ = 1;
};

// One text being decoded. put() gives what is certain so far, finish() the rest; whole characters
// always.
class Decoding {
  public:
    explicit Decoding(const Decoder& decoder);
    std::string put(std::string_view token);
    std::string finish();

  private:
    struct State {
        std::string held;      // bytes whose meaning later tokens decide
        size_t may_strip = 0;  // StripText: characters still to leave out
    };
    void feed(size_t step, std::string_view token, std::string& out);
    void feed_kind(const Decoder::ByteLevel& kind, size_t step, std::string_view token,
                   std::string& out);
    void feed_kind(const Decoder::ByteFallback& kind, size_t step, std::string_view token,
                   std::string& out);
    void feed_kind(const Replace& kind, size_t step, std::string_view token, std::string& out);
    void feed_kind(const Decoder::StripToken& kind, size_t step, std::string_view token,
                   std::string& out);
    void feed_kind(const Decoder::StripText& kind, size_t step, std::string_view token,
                   std::string& out);
    void flush_bytes(size_t step, std::string& out);

    const Decoder* decoder_;
    std::vector<State> states_;  // one per step
};

}  // namespace quarot::tokenizer
