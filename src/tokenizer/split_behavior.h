// Which pieces do the matches in a text leave? The behaviors of tokenizer.json's splitting steps.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string_view>

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

using PutPiece = std::function<void(std::string_view)>;

// Cuts one text. With `invert` what does not match counts as a match and the other way round.
class Splitter {
  public:
    Splitter(std::string_view text, Behavior behavior, bool invert, const PutPiece& put)
        : text_(text), put_(&put), behavior_(behavior), invert_(invert) {}

    // In order, not overlapping.
    void match(size_t begin, size_t end);
    void finish();

  private:
    void add(size_t begin, size_t end, bool match);
    bool joins(bool match) const;
    void put_piece();

    std::string_view text_;
    const PutPiece* put_;
    Behavior behavior_;
    bool invert_;
    size_t done_ = 0;   // end of the last match
    size_t begin_ = 0;  // of the piece that may still grow
    size_t end_ = 0;
    bool growing_ = false;    // whether there is one
    bool was_match_ = false;  // the last stretch
};

}  // namespace quarot::tokenizer
