// The flags by which the program sets what the library calls by other names.
#pragma once

#include <string>
#include <string_view>

namespace quarot::apps {

// "--w-bits" of "weights.bits"; empty for a setting that no flag changes.
std::string flag_of(std::string_view setting);
// A message of the library with flags for the settings that it names.
std::string in_flags(std::string_view message);

}  // namespace quarot::apps
