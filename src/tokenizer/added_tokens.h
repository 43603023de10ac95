// Which tokens are found in a text as they stand, before anything else looks at it?
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "tokenizer/declared_tokens.h"
#include "tokenizer/normalizer.h"
#include "tokenizer/token_finder.h"
#include "tokenizer/vocabulary.h"

namespace quarot::tokenizer {

class AddedTokens {
  public:
    // Puts the tokens into the vocabulary.
    AddedTokens(std::vector<DeclaredToken> declared, const Normalizer& normalizer,
                Vocabulary& vocabulary);

    bool is_special(int32_t id) const { return special_.contains(id); }
    // Whether decoding without special tokens leaves it out: the form that decoding takes it for
    // must be a special token's content, as in the library whose format this is.
    bool left_out(int32_t id) const { return left_out_.contains(id); }
    // What decoding takes such a token for: its normalized form. nullptr if that is its content.
    const std::string* form_to_decode(int32_t id) const;
    const TokenFinder& in_raw_text() const { return raw_; }
    const TokenFinder& in_normalized_text() const { return normalized_; }

  private:
    void find_left_out(const std::vector<AddedToken>& raw,
                       const std::vector<AddedToken>& normalized, const Vocabulary& vocabulary);

    std::unordered_set<int32_t> special_;
    std::unordered_set<int32_t> left_out_;
    std::unordered_map<int32_t, std::string> forms_;  // where normalizing changes the content
    TokenFinder raw_{{}};
    TokenFinder normalized_{{}};
};

}  // namespace quarot::tokenizer
