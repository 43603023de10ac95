// Which library is this?
#pragma once

#include <string>
#include <vector>

#include "quarot/export.h"

namespace quarot {

QUAROT_API std::string version();  // of the library that runs: "0.1.0"

// The names that QuantizeOptions::recipe can be.
QUAROT_API std::vector<std::string> recipe_names();

}  // namespace quarot
