// How many stop strings a caller may give, and how long.
#pragma once

#include <cstddef>

namespace quarot::limits {

inline constexpr size_t kStops = 16;
inline constexpr size_t kStopBytes = 256;

}  // namespace quarot::limits
