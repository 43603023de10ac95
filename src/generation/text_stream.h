// The text of a generation as its tokens come: whole characters, ended before a stop string.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "generation/stop_filter.h"
#include "tokenizer/tokenizer.h"

namespace quarot::generation {

// What new tokens add to the text of a prompt. The tokenizer must outlive it.
class TextStream {
  public:
    TextStream(const tokenizer::Tokenizer& tokenizer, std::span<const int32_t> prompt,
               std::vector<std::string> stops)
        : decoder_(tokenizer, prompt), filter_(std::move(stops)) {}

    // The text that may be shown now; empty while a character or a stop string may be unfinished.
    std::string put(int32_t id) { return filter_.put(decoder_.put(id)); }
    // What was held back, once no token can come.
    std::string finish() {
        std::string text = filter_.put(decoder_.finish());
        return text += filter_.finish();
    }
    bool stopped() const { return filter_.stopped(); }  // by a stop string

  private:
    tokenizer::StreamDecoder decoder_;
    StopFilter filter_;
};

}  // namespace quarot::generation
