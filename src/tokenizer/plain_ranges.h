// Stretches of a text without special tokens: where are they when the text is cut or rewritten?
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/text_range.h"

namespace quarot::tokenizer {

// Error{Usage} unless the ranges are ascending, disjoint and within a text of so many bytes.
void check_ranges(std::span<const TextRange> ranges, size_t text_bytes);

// Ranges in order, asked about ascending places of their text.
class PlainRanges {
  public:
    explicit PlainRanges(std::span<const TextRange> ranges) : ranges_(ranges) {}

    bool overlap(size_t begin, size_t end) { return room(begin) < end - begin; }
    // How many bytes from here on are in no range.
    size_t room(size_t begin);
    // Those of the stretch [begin, end), counted from its begin and cut at its ends.
    std::vector<TextRange> within(size_t begin, size_t end);

  private:
    std::span<const TextRange> ranges_;  // those not yet passed
};

struct RangedText {
    std::string text;
    std::vector<TextRange> ranges;
};

// replace_invalid() of a text; a range's border is also a border of characters.
RangedText replace_invalid(std::string_view bytes, std::span<const TextRange> ranges);

// Moves ranges along while their text is rewritten from left to right: each call tells what the
// next stretch of the text has become. Every border is looked at once. A border within what was
// rewritten as a whole goes to its end on the outside of the range.
class RangeMover {
  public:
    // Changes them in place.
    explicit RangeMover(std::vector<TextRange>& ranges) : ranges_(&ranges) {}

    // The text up to `old_end` has become the new one up to `new_end`; what the call before left
    // was copied as it is, or else rewritten.
    void copied(size_t old_end, size_t new_end) { pass(old_end, new_end, true); }
    void rewritten(size_t old_end, size_t new_end) { pass(old_end, new_end, false); }

    // Those before `old_end` that no call has passed.
    std::vector<size_t> borders_before(size_t old_end) const;

    size_t steps() const { return steps_; }  // done so far: calls and borders

  private:
    size_t& border(size_t index) const;
    void pass(size_t old_end, size_t new_end, bool copied);

    std::vector<TextRange>* ranges_;
    size_t next_ = 0;     // border; two for each range
    size_t old_end_ = 0;  // of the call before
    size_t new_end_ = 0;
    size_t steps_ = 0;
};

}  // namespace quarot::tokenizer
