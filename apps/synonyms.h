// What other programs call our commands and flags.
#pragma once

#include <string>
#include <vector>

namespace quarot::apps {

// "--temp" for "--temperature", if it is among `known`; else what is nearest to the word, or
// nothing.
std::string meant_flag(const std::string& word, const std::vector<std::string>& known);

// What other programs call that command here; else the nearest of `known`, or nothing.
std::string meant_command(const std::string& word, const std::vector<std::string>& known);

}  // namespace quarot::apps
