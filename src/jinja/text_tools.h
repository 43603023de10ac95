// Cutting, searching and joining texts, shared by filters and string methods.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "jinja/runtime.h"

namespace quarot::jinja {

// Which characters strip() takes away: those of `set`, white space if null.
Text stripped(Budget& budget, const Text& text, const Text* set, bool left, bool right);
Text replaced(Budget& budget, const Text& text, const Text& from, const Text& to,
              int64_t max_count);  // max_count < 0: all
Text joined(Budget& budget, const Text& glue, const std::vector<Value>& items);  // by their str()
// At universal line ends, which are left out.
std::vector<Text> lines_of(Budget& budget, const Text& text);
// At runs of white space, at most max_count cuts (< 0: all), from the left or from the right.
std::vector<Text> words_of(Budget& budget, const Text& text, int64_t max_count, bool from_right);
std::vector<Text> pieces_of(Budget& budget, const Text& text, const Text& separator,
                            int64_t max_count, bool from_right);
// Spaces around, so that the text has `width` characters.
enum class Align { Left, Right, Center };
Text aligned(Budget& budget, const Text& text, int64_t width, Align align,
             const Text& filler = Text(" "));
std::vector<Value> as_values(Budget& budget, std::vector<Text> texts);

// The string itself; Error{Unsupported} if it is marked as HTML.
const Text& plain_text(const Text& text);
// str() of any value, as a plain text.
Text soft_text(Runtime& runtime, const Value& value);

}  // namespace quarot::jinja
