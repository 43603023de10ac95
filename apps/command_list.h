// All commands with their flags, for what describes them without running them.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "apps/args.h"

namespace quarot::apps {

// Every command that is not hidden, declared but not to be parsed: the values have no place to go.
std::vector<std::unique_ptr<const Args>> declared_commands();

// The flags that are for people and begin with a dash.
std::vector<const Flag*> dashed_flags(const Args& args);
// "-t", "--threads"
std::vector<std::string> dashed_names(const Flag& flag);
// What a word without a dash means, as far as it can be told for all of them; null if nothing.
const Flag* positional(const Args& args);
// Whether the flag's value may be a file.
bool names_a_file(const Flag& flag);
// The values that a shell proposes for a flag.
const std::vector<std::string>& proposed_values(const Flag& flag);

}  // namespace quarot::apps
