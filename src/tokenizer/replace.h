// One text for what a pattern matches, as normalizers and decoders of tokenizer.json ask for it.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "io/json.h"
#include "tokenizer/plain_ranges.h"
#include "tokenizer/regex.h"

namespace quarot::tokenizer {

class Replace {
  public:
    // {"pattern": {"String": ...} or {"Regex": ...}, "content": ...}
    static Replace parse(const io::Json& step);
    static Replace literal(std::string pattern, std::string content) {
        return {std::move(pattern), std::move(content)};
    }

    class Worker;

    // No text becomes longer than this many times its length.
    size_t growth() const;

    // nullptr if it is a regular expression.
    const std::string* literal_pattern() const { return std::get_if<std::string>(&pattern_); }
    const std::string& content() const { return content_; }

  private:
    using Pattern = std::variant<std::string, Regex>;  // not empty
    Replace(Pattern pattern, std::string content)
        : pattern_(std::move(pattern)), content_(std::move(content)) {}

    Pattern pattern_;
    std::string content_;
};

// A replacement at work on texts, one after another; one per thread. What an expression may cost is
// bounded over all of them together.
class Replace::Worker {
  public:
    explicit Worker(const Replace& replace);  // which must live as long as this

    // All occurrences, from the left, not overlapping. The content is literal.
    std::string apply(std::string_view text);
    // `keeps_start` becomes false where the result begins with what does not come from the text's
    // first character.
    std::string apply(std::string_view text, bool& keeps_start, RangeMover& ranges);

  private:
    // Calls put(begin, end) with the bounds of each.
    template <typename Put>
    void for_each(std::string_view text, const Put& put);

    const Replace* replace_;
    std::optional<RegexMatcher> matcher_;  // if it is a regular expression
};

// A text that is looked for: not empty, or Error{Unsupported}, as above limits::kPatternBytes.
const std::string& parse_literal(const io::Json& value);

// A text that the file adds to ours; Error{Unsupported} above limits::kStepBytes, so that it cannot
// flood memory.
const std::string& parse_added_text(const io::Json& value);

// A chain of steps has a bounded cost; Error{Unsupported} naming `place` above
// limits::kTextSteps.
void check_step_count(size_t steps, const std::string& place);

// Neither may the replacements of a chain together make a text too many times longer;
// Error{Unsupported} naming `place` above limits::kTextGrowth.
void check_growth(size_t growth, const std::string& place);

}  // namespace quarot::tokenizer
