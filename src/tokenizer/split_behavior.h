// Which pieces do the matches in a text leave? The behaviors of tokenizer.json's splitting steps.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "io/json.h"

namespace quarot::tokenizer {

enum class Behavior : uint8_t {
    Isolated,            // each match is a piece
    Removed,             // no piece
    MergedWithPrevious,  // the end of the piece before it
    MergedWithNext,      // the beginning of the piece behind it
    Contiguous           // part of a piece with the matches beside it
};

Behavior parse_behavior(const io::Json& value);

// Cuts one text. With `invert` what does not match counts as a match and the other way round.
class Splitter {
  public:
    Splitter(std::string_view text, Behavior behavior, bool invert,
             std::vector<std::string_view>& pieces)
        : text_(text), pieces_(&pieces), behavior_(behavior), invert_(invert) {}

    // In order, not overlapping.
    void match(size_t begin, size_t end);
    void finish();

  private:
    void add(size_t begin, size_t end, bool match);
    bool joins(bool match) const;
    void put();

    std::string_view text_;
    std::vector<std::string_view>* pieces_;
    Behavior behavior_;
    bool invert_;
    size_t done_ = 0;   // end of the last match
    size_t begin_ = 0;  // of the piece that may still grow
    size_t end_ = 0;
    bool growing_ = false;    // whether there is one
    bool was_match_ = false;  // the last stretch
};

}  // namespace quarot::tokenizer
