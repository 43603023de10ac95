// The help screens.
#pragma once

#include <string>

#include "apps/args.h"

namespace quarot::apps {

// Of one command. Not full: only the flags that are shown first, which fit one screen.
std::string help_text(const Args& args, bool full);

// "-t, --threads N"; the name of a positional argument.
std::string flag_synopsis(const Flag& flag);
// "quarot quantize IN OUT [flags]"
std::string usage_line(const Args& args);

// Of the whole program: its commands, and how to begin.
std::string overview();

}  // namespace quarot::apps
