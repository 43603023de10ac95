// Each question drops the ranges that end before it, so that all of them cost one walk.
#include "tokenizer/plain_ranges.h"

#include <algorithm>

#include "core/error.h"
#include "tokenizer/unicode.h"

namespace quarot::tokenizer {

void check_ranges(std::span<const TextRange> ranges, size_t text_bytes) {
    size_t done = 0;
    for (const TextRange& range : ranges) {
        if (range.begin < done || range.end < range.begin || range.end > text_bytes) {
            fail(ErrorCode::Usage,
                 "a plain range of a text is [{}, {}), expected one within [{}, {})", range.begin,
                 range.end, done, text_bytes);
        }
        done = range.end;
    }
}

size_t PlainRanges::room(size_t begin) {
    const auto passed = [begin](const TextRange& range) {
        return range.end <= begin || range.begin == range.end;
    };
    while (!ranges_.empty() && passed(ranges_.front())) ranges_ = ranges_.subspan(1);
    if (ranges_.empty()) return std::string_view::npos;
    return ranges_.front().begin > begin ? ranges_.front().begin - begin : 0;
}

std::vector<TextRange> PlainRanges::within(size_t begin, size_t end) {
    std::vector<TextRange> found;
    while (overlap(begin, end)) {
        const TextRange& range = ranges_.front();
        found.push_back({std::max(range.begin, begin) - begin, std::min(range.end, end) - begin});
        if (range.end >= end) break;  // may reach into the next stretch
        ranges_ = ranges_.subspan(1);
    }
    return found;
}

RangedText replace_invalid(std::string_view bytes, std::span<const TextRange> ranges) {
    RangedText result;
    size_t done = 0;
    const auto copy_until = [&](size_t end) {
        result.text += replace_invalid(bytes.substr(done, end - done));
        done = end;
        return result.text.size();
    };
    for (const TextRange& range : ranges) {
        const size_t begin = copy_until(range.begin);
        result.ranges.push_back({begin, copy_until(range.end)});
    }
    copy_until(bytes.size());
    return result;
}

size_t& RangeMover::border(size_t index) const {
    TextRange& range = (*ranges_)[index / 2];
    return index % 2 == 0 ? range.begin : range.end;
}

std::vector<size_t> RangeMover::borders_before(size_t old_end) const {
    std::vector<size_t> borders;
    for (size_t i = next_; i < 2 * ranges_->size() && border(i) < old_end; ++i) {
        borders.push_back(border(i));
    }
    return borders;
}

void RangeMover::pass(size_t old_end, size_t new_end, bool copied) {
    ++steps_;
    for (; next_ < 2 * ranges_->size() && border(next_) <= old_end; ++next_, ++steps_) {
        size_t& at = border(next_);
        if (copied || at == old_end_) {
            at = new_end_ + (at - old_end_);
        } else if (at == old_end) {
            at = new_end;
        } else {
            at = next_ % 2 == 0 ? new_end_ : new_end;
        }
        // The range before it may have grown over it.
        if (next_ > 0) at = std::max(at, border(next_ - 1));
    }
    old_end_ = old_end;
    new_end_ = new_end;
}

}  // namespace quarot::tokenizer
