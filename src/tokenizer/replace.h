// One literal text for another, as normalizers and decoders of tokenizer.json ask for it.
#pragma once

#include <string>
#include <string_view>

#include "io/json.h"

namespace quarot::tokenizer {

// A text that a file adds to ours may not be longer than this, so that it cannot flood memory.
constexpr size_t kMaxAddedBytes = 64;

struct Replace {
    std::string pattern;  // not empty
    std::string content;

    // {"pattern": {"String": ...}, "content": ...}; Error{Unsupported} for a regular expression.
    static Replace parse(const io::Json& step);

    // All occurrences, from the left, not overlapping.
    std::string apply(std::string_view text) const;

    // No text becomes longer than this many times its length.
    size_t growth() const;
};

// A text of the file, at most kMaxAddedBytes long.
const std::string& parse_added_text(const io::Json& value);

// A chain of steps has a bounded cost; Error{Unsupported} naming `place` above 16.
void check_step_count(size_t steps, const std::string& place);

// Neither may the replacements of a chain together make a text too many times longer;
// Error{Unsupported} naming `place` above 64.
void check_growth(size_t growth, const std::string& place);

}  // namespace quarot::tokenizer
