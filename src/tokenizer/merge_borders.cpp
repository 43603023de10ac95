// A merge joins texts at one place, the last character of its left and the first of its right part.
#include "tokenizer/merge_borders.h"

#include "tokenizer/unicode.h"

namespace quarot::tokenizer {

MergeBorders::MergeBorders(const MergeTable& merges, const Vocabulary& vocabulary) {
    for (size_t i = 0; i < vocabulary.model_tokens(); ++i) {
        const std::string& token = vocabulary.tokens()[i];
        if (token.empty()) continue;
        const Character first = character_at(token, 0);
        if (first.end == token.size()) known_.insert(first.code);
    }
    for (const MergeTable::Entry& entry : merges.entries()) {
        const std::string& left = *vocabulary.token(entry.left);
        const std::string& right = *vocabulary.token(entry.right);
        if (left.empty() || right.empty()) continue;
        const char32_t last = character_at(left, character_before(left, left.size())).code;
        joined_.insert(uint64_t{last} << 32 | character_at(right, 0).code);
    }
}

size_t MergeBorders::part_end(std::string_view text, size_t at) const {
    Character left = character_at(text, at);
    while (left.end < text.size()) {
        const Character right = character_at(text, left.end);
        const bool border = !joins(left.code, right.code) && known_.contains(left.code) &&
                            known_.contains(right.code);
        if (border) return left.end;
        left = right;
    }
    return text.size();
}

}  // namespace quarot::tokenizer
