// Limits stand beside the code that reads what they limit.
#include "tokenizer/replace.h"

#include <algorithm>

#include "core/error.h"

namespace quarot::tokenizer {
namespace {

constexpr size_t kMaxSteps = 16;
constexpr size_t kMaxGrowth = 64;

}  // namespace

Replace Replace::parse(const io::Json& step) {
    const io::Json& pattern = step.at("pattern");
    const io::Json* literal = pattern.find("String");
    if (literal == nullptr) {
        fail(ErrorCode::Unsupported, "{} is not a literal {{\"String\": ...}}, the only kind here",
             pattern.place());
    }
    if (literal->as_string().empty()) {
        fail(ErrorCode::Corrupt, "{} is empty, expected a text to replace", literal->place());
    }
    return {.pattern = literal->as_string(), .content = parse_added_text(step.at("content"))};
}

std::string Replace::apply(std::string_view text) const {
    std::string result;
    result.reserve(text.size());
    size_t copied = 0;
    for (size_t at = text.find(pattern); at != std::string_view::npos;
         at = text.find(pattern, copied)) {
        result += text.substr(copied, at - copied);
        result += content;
        copied = at + pattern.size();
    }
    result += text.substr(copied);
    return result;
}

size_t Replace::growth() const {
    return std::max<size_t>(1, (content.size() + pattern.size() - 1) / pattern.size());
}

const std::string& parse_added_text(const io::Json& value) {
    const std::string& text = value.as_string();
    if (text.size() > kMaxAddedBytes) {
        fail(ErrorCode::Unsupported, "{} has {} bytes, expected at most {}", value.place(),
             text.size(), kMaxAddedBytes);
    }
    return text;
}

void check_step_count(size_t steps, const std::string& place) {
    if (steps > kMaxSteps) {
        fail(ErrorCode::Unsupported, "{}: the chain has more than {} steps", place, kMaxSteps);
    }
}

void check_growth(size_t growth, const std::string& place) {
    if (growth > kMaxGrowth) {
        fail(ErrorCode::Unsupported,
             "{}: the replacements make texts up to {} times as long, expected at most {}", place,
             growth, kMaxGrowth);
    }
}

}  // namespace quarot::tokenizer
