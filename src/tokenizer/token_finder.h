// Where in a text do added tokens stand? Found all at once, in time linear in the text.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/plain_ranges.h"

namespace quarot::tokenizer {

struct AddedToken {
    int32_t id;
    std::string content;
    bool special;     // left out by decode() if asked; not found in plain ranges
    bool normalized;  // looked for in the normalized text, in its own normalized form
    bool lstrip;      // swallows whitespace on its left
    bool rstrip;
    bool single_word;  // counts only where no word character stands beside it
};

// A stretch of text, or a token found in it.
struct Segment {
    std::string_view text;
    std::optional<int32_t> id;
};

// Finds the leftmost, then longest of a set of strings. Among equal strings the first counts.
class TokenFinder {
  public:
    explicit TokenFinder(std::vector<AddedToken> tokens);
    bool empty() const { return tokens_.empty(); }
    bool has_special() const;

    // Visits the whole text as segments, in order; no stretch of text is empty. A special token
    // that overlaps one of the plain ranges (ascending, disjoint) is no token there. Returns how
    // much work that took, in moves within the automaton and between tokens that begin with each
    // other and in spaces looked at: at most 2.2 times the bytes without plain ranges and
    // stripping, as no token has more than limits::kAddedTokenBytes.
    int64_t for_each_segment(std::string_view text, std::span<const TextRange> plain,
                             const std::function<void(const Segment&)>& visit) const;

  private:
    struct Node {
        int32_t first_child = 0;  // they are one after another, sorted by byte
        int32_t fallback = 0;     // node of the longest proper suffix that is a node
        int32_t token = -1;       // the longest that ends here, index into tokens_
        uint16_t children = 0;
        uint8_t byte = 0;  // that leads here
    };
    // The ways from a token to those that it begins with, as indices into tokens_ or -1.
    struct Link {
        int32_t shorter = -1;   // the longest of them
        int32_t ordinary = -1;  // the longest that is not special, or the token itself
        int32_t jump = -1;      // one further on the way of `shorter`
        int32_t depth = 0;      // how many tokens are on that way, with itself
    };
    struct Start {
        size_t at;      // where in the text
        int32_t token;  // the longest that begins there
    };
    class Builder;
    int32_t child(int32_t node, uint8_t byte) const;
    void find_starts(std::string_view text, size_t begin, size_t end, std::vector<Start>& found,
                     int64_t& steps) const;
    const AddedToken* permitted(const Start& start, PlainRanges& plain, int64_t& steps) const;
    size_t size_of(int32_t token) const {
        return tokens_[static_cast<size_t>(token)].content.size();
    }

    std::vector<AddedToken> tokens_;
    std::vector<Link> links_;             // of each token
    std::vector<Node> nodes_;             // node 0 is the root
    std::array<int32_t, 256> from_root_;  // children of the root
    size_t longest_ = 0;                  // bytes of a token
};

}  // namespace quarot::tokenizer
