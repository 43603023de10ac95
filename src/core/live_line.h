// The one line of a terminal that is written over while work goes on. What else is printed there
// begins by erasing it.
#pragma once

#include <string>

namespace quarot {

// On stderr, in place of the live line there is. No newline in `text`.
void show_live_line(const std::string& text);
// Nothing if there is none.
void erase_live_line();

}  // namespace quarot
