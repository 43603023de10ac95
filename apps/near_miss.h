// "Did you mean": the known word that a mistyped one is closest to.
#pragma once

#include <string>
#include <vector>

namespace quarot::apps {

// Empty if nothing is near: more than two edits away, or more than a third of the word.
std::string near_miss(const std::string& word, const std::vector<std::string>& known);

}  // namespace quarot::apps
