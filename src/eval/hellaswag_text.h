// HellaSwag's texts freed of what the sites they come from left in them.
#pragma once

#include <string>
#include <string_view>

namespace quarot::eval {

// Stripped; " [title]" becomes ". ", every other [...] of one line goes, two spaces become one.
std::string without_artifacts(std::string_view text);

// A whole context whose second part may have lost its capital: the last sentence gets one if it
// begins with a small letter. Where the border of the two parts is known nobody needs this.
std::string with_capital_second_part(std::string_view context);

}  // namespace quarot::eval
