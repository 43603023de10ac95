// How a token reads by itself.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>

#include "tokenizer/tokenizer.h"

namespace quarot::serve {

// The text that a token adds behind another one: " the", with its space; special tokens as they are
// spelled. Bytes that are no whole character are U+FFFD. Any number of threads may ask; the
// tokenizer must outlive it.
class TokenTexts {
  public:
    explicit TokenTexts(const tokenizer::Tokenizer& tokenizer);
    // Of ids beyond the tokenizer's, which a model may have rows for, nothing.
    std::string of(int32_t id) const;

  private:
    const tokenizer::Tokenizer& tokenizer_;
    std::vector<int32_t> before_;  // tokens of a letter
    std::string before_text_;
    mutable std::mutex mutex_;  // guards what follows
    mutable std::map<int32_t, std::string> known_;
};

}  // namespace quarot::serve
