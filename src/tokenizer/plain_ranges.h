// Stretches of a text without special tokens: where are they when the text is cut or rewritten?
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/tokenizer.h"

namespace quarot::tokenizer {

// Error{Usage} unless the ranges are ascending, disjoint and within a text of so many bytes.
void check_ranges(std::span<const TextRange> ranges, size_t text_bytes);

// Ranges in order, asked about ascending places of their text.
class PlainRanges {
  public:
    explicit PlainRanges(std::span<const TextRange> ranges) : ranges_(ranges) {}

    bool overlap(size_t begin, size_t end);
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

// Where ranges are in change(text), taking change(prefix) for the prefix of change(text). Calls
// `change` twice for each range.
std::vector<TextRange> moved_ranges(std::string_view text, std::span<const TextRange> ranges,
                                    const std::function<std::string(std::string)>& change);

}  // namespace quarot::tokenizer
