// Which words may follow on a command line? A script for each shell, made from the flags as the
// commands declare them: commands, flags, their values, files and folders.
#pragma once

#include <string>

namespace quarot::apps {

std::string bash_completion();
std::string zsh_completion();
std::string fish_completion();

}  // namespace quarot::apps
