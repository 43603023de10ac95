// How do marks stay with their bytes while texts are joined and cut?
#include "jinja/text.h"

#include <algorithm>
#include <utility>

namespace quarot::jinja {

Text::Text(std::string bytes, bool user) : bytes_(std::move(bytes)) {
    if (user) mark(0, bytes_.size());
}

void Text::mark(size_t begin, size_t end) {
    if (begin == end) return;
    if (!user_.empty() && user_.back().end == begin) {
        user_.back().end = end;
    } else {
        user_.push_back({begin, end});
    }
}

void Text::append(std::string_view bytes, bool user) {
    const size_t begin = bytes_.size();
    bytes_.append(bytes);
    if (user) mark(begin, bytes_.size());
}

void Text::append(const Text& other, size_t begin, size_t end) {
    const size_t base = bytes_.size();
    bytes_.append(other.bytes_, begin, end - begin);
    auto span = std::upper_bound(other.user_.begin(), other.user_.end(), begin,
                                 [](size_t at, const Span& s) { return at < s.end; });
    for (; span != other.user_.end() && span->begin < end; ++span) {
        mark(base + std::max(span->begin, begin) - begin, base + std::min(span->end, end) - begin);
    }
}

Text Text::slice(size_t begin, size_t end) const {
    Text part;
    part.append(*this, begin, end);
    return part;
}

size_t find_last_bytes(std::string_view text, std::string_view needle, size_t end) {
    const std::string_view searched = text.substr(0, end);
    const std::string back(searched.rbegin(), searched.rend());
    const std::string back_needle(needle.rbegin(), needle.rend());
    const size_t at = find_bytes(back, back_needle);
    return at == std::string_view::npos ? at : searched.size() - at - needle.size();
}

}  // namespace quarot::jinja
