// String literals of a source text.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace quarot::test {

struct Literal {
    int line = 0;
    std::string text;  // between the quotes, escapes as they are written
};

// Ordinary and raw ones, in their order; those in comments are none.
std::vector<Literal> literals_of(std::string_view source);

}  // namespace quarot::test
