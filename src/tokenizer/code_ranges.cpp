#include "tokenizer/code_ranges.h"

#include <algorithm>
#include <iterator>

namespace quarot::tokenizer {

bool holds(std::span<const CodeRange> ranges, char32_t code) {
    const auto next = std::upper_bound(
        ranges.begin(), ranges.end(), code,
        [](char32_t wanted, const CodeRange& candidate) { return wanted < candidate.first; });
    return next != ranges.begin() && code <= std::prev(next)->last;
}

}  // namespace quarot::tokenizer
