// A document that carries the digest of its own text.
#include "io/seal.h"

#include <span>

#include "io/hash.h"

namespace quarot::io {

namespace {

constexpr size_t kDigestChars = 32;

// What stands around the digest, from the end of the member before it on.
struct Style {
    std::string_view object_end;
    std::string_view before;
    std::string_view after;
};

constexpr Style kIndented = {"\n}", ",\n  \"digest\": \"", "\"\n}"};
constexpr Style kOneLine = {"}", R"(,"digest":")", R"("})"};

std::string with_digest(std::string_view head, const Style& style) {
    return std::string(head)
        .append(style.before)
        .append(xxh3_128(std::as_bytes(std::span(head))))
        .append(style.after);
}

bool is_sealed_in(std::string_view text, const Style& style) {
    const size_t tail = style.before.size() + kDigestChars + style.after.size();
    return text.size() >= tail && text == with_digest(text.substr(0, text.size() - tail), style);
}

}  // namespace

std::string sealed(std::string_view object) {
    const Style& style = object.ends_with(kIndented.object_end) ? kIndented : kOneLine;
    if (object.ends_with(style.object_end)) object.remove_suffix(style.object_end.size());
    return with_digest(object, style);
}

bool is_sealed(std::string_view text) {
    return is_sealed_in(text, kIndented) || is_sealed_in(text, kOneLine);
}

}  // namespace quarot::io
