// How a flag is called: on the command line, in the environment and in a file of --config.
#pragma once

#include <string>
#include <vector>

namespace quarot::apps {

// "-t,--threads" is two names; "!--no-x", which switches off, gives "--no-x".
std::vector<std::string> split_names(const std::string& names);
// "--w-bits" of "-w,--w-bits"; the short or positional name if there is no long one.
std::string long_name(const std::string& names);
// "w-bits": the key of a TOML file.
std::string config_key(const std::string& names);
// "QUAROT_W_BITS"; empty for a positional argument.
std::string environment_name(const std::string& names);
// The variable's value; empty if it is not set.
std::string environment(const std::string& variable);

}  // namespace quarot::apps
