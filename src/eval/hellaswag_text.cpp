#include "eval/hellaswag_text.h"

#include "eval/plain_text.h"

namespace quarot::eval {

namespace {

std::string without_brackets(std::string_view text) {
    std::string out;
    for (size_t at = 0; at < text.size();) {
        const size_t close = text[at] == '[' ? text.find(']', at) : std::string_view::npos;
        if (close == std::string_view::npos ||
            text.substr(at, close - at).find('\n') != std::string_view::npos) {
            out += text[at++];
        } else {
            at = close + 1;
        }
    }
    return out;
}

bool ends_sentence(char c) {
    return c == '.' || c == '!' || c == '?' || c == ':';
}

// Where the last sentence begins: behind the last mark of an end and the space that follows it.
size_t last_sentence(std::string_view text) {
    for (size_t at = text.size(); at-- > 1;) {
        if (text[at - 1] == ' ' && text[at] != ' ') {
            const size_t end = text.find_last_not_of(" \"')", at - 1);
            if (end != std::string_view::npos && ends_sentence(text[end])) return at;
        }
    }
    return 0;
}

}  // namespace

std::string without_artifacts(std::string_view text) {
    const std::string sentences = replace_all(stripped(text), " [title]", ". ");
    return replace_all(without_brackets(sentences), "  ", " ");
}

std::string with_capital_second_part(std::string_view context) {
    const size_t second = last_sentence(context);
    const std::string_view part = context.substr(second);
    if (part.empty() || part.front() < 'a' || part.front() > 'z') return std::string(context);
    return std::string(context.substr(0, second)) + capitalized(part);
}

}  // namespace quarot::eval
