// What a TOML file of --config says, by the names of flags without their dashes.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace quarot::apps {

// Values as a command line would have them.
struct ConfigValue {
    std::vector<std::string> texts;
    bool is_list = false;
};

using ConfigFile = std::map<std::string, ConfigValue>;

// Error{NotFound} if it is not a regular file that can be read, Error{Corrupt} if it is too large,
// Error{Usage} if it is not TOML or holds more than flags' texts, numbers, switches and lists of
// these.
ConfigFile read_config_file(const std::string& path);
// Of its text; `path` is for messages.
ConfigFile parse_config_file(std::string_view text, const std::string& path);

}  // namespace quarot::apps
