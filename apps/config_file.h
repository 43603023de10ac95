// What a TOML file of --config says, by the names of flags without their dashes.
#pragma once

#include <istream>
#include <map>
#include <string>
#include <vector>

namespace quarot::apps {

using ConfigFile = std::map<std::string, std::vector<std::string>>;

// Error{NotFound} if it cannot be read, Error{Usage} if it is not TOML or has sections.
ConfigFile read_config_file(const std::string& path);
// Of its text; `path` is for messages.
ConfigFile parse_config_file(std::istream& text, const std::string& path);

}  // namespace quarot::apps
