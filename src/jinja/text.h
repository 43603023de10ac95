// A piece of UTF-8 text that remembers which of its bytes a user typed.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "io/text.h"

namespace quarot::jinja {

struct Span {
    size_t begin = 0;
    size_t end = 0;  // one past the last byte
    bool operator==(const Span&) const = default;
};

// Marks are sorted, disjoint and never touch each other. Appending costs time in proportion to what
// is appended.
class Text {
  public:
    Text() = default;
    explicit Text(std::string bytes, bool user = false);

    const std::string& bytes() const { return bytes_; }
    const std::vector<Span>& user() const { return user_; }
    size_t size() const { return bytes_.size(); }
    bool empty() const { return bytes_.empty(); }
    // Bytes that it takes, marks included.
    size_t memory() const { return bytes_.size() + user_.size() * sizeof(Span); }

    void append(std::string_view bytes, bool user = false);
    void append(const Text& other) { append(other, 0, other.size()); }
    void append(const Text& other, size_t begin, size_t end);  // bytes [begin, end) of other
    Text slice(size_t begin, size_t end) const;

    // Calls visit(bytes, user) for each maximal stretch of equal mark, in order.
    template <typename Visit>
    void for_each_stretch(Visit visit) const {
        size_t at = 0;
        const std::string_view all = bytes_;
        for (const Span& span : user_) {
            if (span.begin > at) visit(all.substr(at, span.begin - at), false);
            visit(all.substr(span.begin, span.end - span.begin), true);
            at = span.end;
        }
        if (at < all.size()) visit(all.substr(at), false);
    }

    // Made by the filters escape and safe: other texts would be escaped when joined to it.
    bool html = false;

  private:
    void mark(size_t begin, size_t end);

    std::string bytes_;
    std::vector<Span> user_;
};

using io::find_bytes;
// Last place where needle begins and ends at or before `end`; npos if none. Linear in both lengths.
size_t find_last_bytes(std::string_view text, std::string_view needle, size_t end);

}  // namespace quarot::jinja
