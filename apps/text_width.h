// Lines of text for people, no wider than the terminal that shows them.
#pragma once

#include <cstddef>
#include <string>

namespace quarot::apps {

// Columns of the terminal behind stdout; 80 where there is none.
size_t terminal_width();

// `text` broken at spaces into lines of at most `width` columns, the first of which begins at
// column `at`, the others with `indent` spaces. `carry_on` ends every line but the last. A word
// that is longer than a line keeps one of its own.
std::string wrapped(const std::string& text, size_t at, size_t indent, size_t width,
                    const std::string& carry_on = "");

}  // namespace quarot::apps
