// Sets of characters as tables list them: ascending ranges of code points, none touching another.
#pragma once

#include <span>

namespace quarot::tokenizer {

struct CodeRange {
    char32_t first;
    char32_t last;  // belongs to it
};

bool holds(std::span<const CodeRange> ranges, char32_t code);

}  // namespace quarot::tokenizer
