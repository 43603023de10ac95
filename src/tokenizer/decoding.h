// A text that is decoded in parts: what do the tokens so far spell for certain?
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/decoder.h"

namespace quarot::tokenizer {

// One text being decoded. put() gives what is certain so far, finish() the rest; whole characters
// always.
class Decoding {
  public:
    explicit Decoding(const Decoder& decoder);
    std::string put(std::string_view token);
    std::string finish();

  private:
    struct State {
        std::string held;                        // whose meaning later tokens decide
        bool begun = false;                      // whether a token has come
        size_t may_strip = 0;                    // StripText: characters still to leave out
        std::optional<Replace::Worker> replace;  // of such a step
    };
    void feed(size_t step, std::string_view token, std::string& out);
    void take(const Decoder::ByteFallback& kind, size_t step, std::string_view token,
              std::string& out);
    void take(const Replace& kind, size_t step, std::string_view token, std::string& out);
    void take(const Decoder::StripToken& kind, size_t step, std::string_view token,
              std::string& out);
    void take(const Decoder::MarksToSpaces& kind, size_t step, std::string_view token,
              std::string& out);
    void take(const Decoder::EndsOfWords& kind, size_t step, std::string_view token,
              std::string& out);
    void take(const Decoder::Join& kind, size_t step, std::string_view token, std::string& out);
    void take(const Decoder::ByteLevel& kind, size_t step, std::string_view token,
              std::string& out);
    void take(const Decoder::StripText& kind, size_t step, std::string_view token,
              std::string& out);
    void take(const Decoder::ReplaceText& kind, size_t step, std::string_view token,
              std::string& out);

    // What is held when the last token has come.
    void end(const auto& kind, size_t step, std::string& out);
    void end(const Decoder::ByteFallback& kind, size_t step, std::string& out);
    void end(const Decoder::EndsOfWords& kind, size_t step, std::string& out);
    void end(const Decoder::ByteLevel& kind, size_t step, std::string& out);
    void end(const Decoder::ReplaceText& kind, size_t step, std::string& out);

    const Decoder* decoder_;
    std::vector<State> states_;  // one per step
};

}  // namespace quarot::tokenizer
