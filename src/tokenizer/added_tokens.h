// Tokens that are found in a text as they stand, before anything else looks at it: where are they?
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "io/json.h"
#include "tokenizer/normalizer.h"
#include "tokenizer/vocabulary.h"

namespace quarot::tokenizer {

struct AddedToken {
    int32_t id;
    std::string content;
    bool special;     // left out by decode() if asked
    bool normalized;  // looked for in the normalized text, in its own normalized form
    bool lstrip;      // swallows whitespace on its left
    bool rstrip;
};

// A stretch of text, or a token found in it.
struct Segment {
    std::string_view text;
    std::optional<int32_t> id;
};

// Finds the leftmost, then longest of a set of strings. Costs the longest string per byte.
class TokenFinder {
  public:
    explicit TokenFinder(std::vector<AddedToken> tokens);
    bool empty() const { return tokens_.empty(); }

    // The whole text as segments, in order; no stretch of text is empty.
    std::vector<Segment> segments(std::string_view text) const;

  private:
    struct Node {  // of a trie; children are a list of siblings
        uint8_t byte;
        int32_t first_child;  // -1: none
        int32_t sibling;      // -1: none
        int32_t token;        // index into tokens_ that ends here, -1: none
    };
    struct Match {
        size_t end;
        const AddedToken* token;  // nullptr: no match
    };
    void insert(int32_t token);
    int32_t child(int32_t node, uint8_t byte) const;
    Match longest_at(std::string_view text, size_t at) const;

    std::vector<AddedToken> tokens_;
    std::vector<Node> nodes_;
    std::array<int32_t, 256> roots_;  // node of a first byte, -1: none
};

class AddedTokens {
  public:
    // Reads added_tokens and puts them into the vocabulary.
    AddedTokens(const io::Json* json, const Normalizer& normalizer, Vocabulary& vocabulary);

    bool is_special(int32_t id) const { return special_.contains(id); }
    // What decoding takes such a token for: its normalized form. nullptr if that is its content.
    const std::string* form_to_decode(int32_t id) const;
    const TokenFinder& in_raw_text() const { return raw_; }
    const TokenFinder& in_normalized_text() const { return normalized_; }

  private:
    std::unordered_set<int32_t> special_;
    std::unordered_map<int32_t, std::string> forms_;  // where normalizing changes the content
    TokenFinder raw_{{}};
    TokenFinder normalized_{{}};
};

}  // namespace quarot::tokenizer
