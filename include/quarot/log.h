// Where do remarks go that are no failures?
#pragma once

#include <functional>
#include <string>

#include "quarot/export.h"

namespace quarot {

enum class LogLevel { Error, Warning, Info };

// One line without its newline. Called by any thread of the library, by one at a time; it must not
// throw. Lines that come from within it go to stderr.
using LogCallback = std::function<void(LogLevel level, const std::string& message)>;

// Of the whole process. An empty one, as at the start, means lines on stderr. Returns when no other
// thread is in the callback of before; within a callback it counts from the next line on.
QUAROT_API void set_log(LogCallback callback);

}  // namespace quarot
