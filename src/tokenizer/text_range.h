// A stretch [begin, end) of a text, in bytes.
#pragma once

#include <cstddef>

namespace quarot::tokenizer {

struct TextRange {
    size_t begin;
    size_t end;
};

}  // namespace quarot::tokenizer
