// Also what bounds a chain of such replacements.
#include "tokenizer/replace.h"

#include <algorithm>

#include "core/error.h"
#include "io/text.h"
#include "tokenizer/limits.h"
#include "tokenizer/unicode.h"

namespace quarot::tokenizer {

Replace Replace::parse(const io::Json& step) {
    const io::Json& pattern = step.at("pattern");
    if (const io::Json* expression = pattern.find("Regex")) {
        return {Regex(expression->as_string(), expression->place()),
                parse_added_text(step.at("content"))};
    }
    const std::string& literal = parse_literal(pattern.at("String"));
    return {literal, parse_added_text(step.at("content"))};
}

Replace::Worker::Worker(const Replace& replace) : replace_(&replace) {
    if (const auto* regex = std::get_if<Regex>(&replace.pattern_)) matcher_.emplace(*regex);
}

template <typename Put>
void Replace::Worker::for_each(std::string_view text, const Put& put) {
    if (matcher_) {
        matcher_->for_each(text, put);
        return;
    }
    const std::string& wanted = *replace_->literal_pattern();
    for (size_t at = io::find_bytes(text, wanted); at != std::string_view::npos;
         at = io::find_bytes(text, wanted, at + wanted.size())) {
        put(at, at + wanted.size());
    }
}

std::string Replace::Worker::apply(std::string_view text) {
    bool keeps_start = true;
    std::vector<TextRange> none;
    RangeMover ranges(none);
    return apply(text, keeps_start, ranges);
}

std::string Replace::Worker::apply(std::string_view text, bool& keeps_start, RangeMover& ranges) {
    const std::string& content = replace_->content();
    std::string result;
    result.reserve(text.size());
    size_t copied = 0;
    for_each(text, [&](size_t begin, size_t end) {
        if (begin == 0 && end > 0) {
            // What replaces a match counts as coming from the match's last character.
            keeps_start = character_at(text, 0).end == end && !content.empty();
        }
        result += text.substr(copied, begin - copied);
        ranges.copied(begin, result.size());
        result += content;
        ranges.rewritten(end, result.size());
        copied = end;
    });
    result += text.substr(copied);
    ranges.copied(text.size(), result.size());
    return result;
}

size_t Replace::growth() const {
    if (const auto* regex = std::get_if<Regex>(&pattern_)) {
        // Two matches at a byte, an empty one and that of the byte, or one more at the end.
        return regex->may_be_empty() ? 1 + 2 * content_.size()
                                     : std::max<size_t>(1, content_.size());
    }
    const size_t size = std::get<std::string>(pattern_).size();
    return std::max<size_t>(1, (content_.size() + size - 1) / size);
}

const std::string& parse_literal(const io::Json& value) {
    const std::string& text = value.as_string();
    if (text.empty()) fail(ErrorCode::Unsupported, "{} is empty, expected a text", value.place());
    if (text.size() > limits::kPatternBytes) {
        fail(ErrorCode::Unsupported, "{} has {} bytes, expected at most {}", value.place(),
             text.size(), limits::kPatternBytes);
    }
    return text;
}

const std::string& parse_added_text(const io::Json& value) {
    const std::string& text = value.as_string();
    if (text.size() > limits::kStepBytes) {
        fail(ErrorCode::Unsupported, "{} has {} bytes, expected at most {}", value.place(),
             text.size(), limits::kStepBytes);
    }
    return text;
}

void check_step_count(size_t steps, const std::string& place) {
    if (steps > limits::kTextSteps) {
        fail(ErrorCode::Unsupported, "{}: the chain has more than {} steps", place,
             limits::kTextSteps);
    }
}

void check_growth(size_t growth, const std::string& place) {
    if (growth > limits::kTextGrowth) {
        fail(ErrorCode::Unsupported,
             "{}: the replacements make texts up to {} times as long, expected at most {}", place,
             growth, limits::kTextGrowth);
    }
}

}  // namespace quarot::tokenizer
