#include "core/decimal.h"

#include <fmt/format.h>

#include <cmath>
#include <cstdlib>

namespace quarot {

double as_written(float value) {
    if (!std::isfinite(value)) return static_cast<double>(value);
    return std::strtod(fmt::format("{}", value).c_str(), nullptr);
}

}  // namespace quarot
