// The help screens.
#pragma once

#include <string>
#include <vector>

#include "apps/args.h"

namespace quarot::apps {

// Not full: only the flags that are shown first, which fit one screen.
std::string help_text(const std::string& command, const std::string& summary,
                      const std::vector<Flag>& flags, const std::vector<Example>& examples,
                      bool full);

}  // namespace quarot::apps
