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

bool PlainRanges::overlap(size_t begin, size_t end) {
    const auto passed = [begin](const TextRange& range) {
        return range.end <= begin || range.begin == range.end;
    };
    while (!ranges_.empty() && passed(ranges_.front())) ranges_ = ranges_.subspan(1);
    return !ranges_.empty() && ranges_.front().begin < end;
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

std::vector<TextRange> moved_ranges(std::string_view text, std::span<const TextRange> ranges,
                                    const std::function<std::string(std::string)>& change) {
    std::vector<TextRange> moved;
    const auto place = [&](size_t at) { return change(std::string(text.substr(0, at))).size(); };
    for (const TextRange& range : ranges) {
        const size_t begin = place(range.begin);
        moved.push_back({begin, std::max(begin, place(range.end))});
    }
    return moved;
}

}  // namespace quarot::tokenizer
