#include "eval/plain_text.h"

#include <algorithm>
#include <vector>

#include "io/text.h"
#include "tokenizer/letter_case.h"
#include "tokenizer/unicode.h"

namespace quarot::eval {

namespace {

std::string small(std::string_view text) {
    std::vector<tokenizer::TextRange> none;
    tokenizer::RangeMover ranges(none);
    return tokenizer::lower_case(text, ranges);
}

}  // namespace

bool is_space(char32_t code) {
    return tokenizer::is_space(code) || (code >= 0x1c && code <= 0x1f);
}

std::string_view without_space_at_end(std::string_view text) {
    while (!text.empty()) {
        const size_t last = io::character_before(text, text.size());
        if (!is_space(io::character_at(text, last).code)) break;
        text = text.substr(0, last);
    }
    return text;
}

std::string_view stripped(std::string_view text) {
    while (!text.empty()) {
        const io::Character first = io::character_at(text, 0);
        if (!is_space(first.code)) break;
        text = text.substr(first.end);
    }
    return without_space_at_end(text);
}

int64_t count_characters(std::string_view text) {
    return std::count_if(text.begin(), text.end(),
                         [](char c) { return (static_cast<uint8_t>(c) & 0xc0) != 0x80; });
}

std::string replace_all(std::string_view text, std::string_view from, std::string_view to) {
    std::string out;
    for (size_t at = 0;;) {
        const size_t found = io::find_bytes(text, from, at);
        out += text.substr(at, found == std::string_view::npos ? found : found - at);
        if (found == std::string_view::npos) return out;
        out += to;
        at = found + from.size();
    }
}

std::string capitalized(std::string_view text) {
    std::string out = small(text);
    if (!out.empty() && out.front() >= 'a' && out.front() <= 'z') out.front() += 'A' - 'a';
    if (!out.empty() && static_cast<uint8_t>(text.front()) >= 0x80) {
        // A first character beyond ASCII stays as it is.
        const size_t first = io::character_at(text, 0).end;
        out = std::string(text.substr(0, first)) + small(text.substr(first));
    }
    return out;
}

}  // namespace quarot::eval
