// Which library is this?
#pragma once

#include <string>
#include <vector>

#include "quarot/export.h"

// Of these headers, for #if.
#define QUAROT_VERSION_MAJOR 0
#define QUAROT_VERSION_MINOR 1
#define QUAROT_VERSION_PATCH 0

namespace quarot {

QUAROT_API std::string version();  // of the library that runs: "0.1.0"

// The names that QuantizeOptions::recipe can be.
QUAROT_API std::vector<std::string> recipe_names();

}  // namespace quarot
