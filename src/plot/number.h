// Numbers of documents, checked at the door: what axes span has an end.
#pragma once

#include <optional>
#include <string_view>

#include "io/json.h"

namespace quarot::plot {

struct Range {
    double least = 0.0, most = 0.0;
};

// Above 0: what is smaller or larger is no measurement of anything.
inline constexpr Range kAboveZero = {1e-100, 1e100};
inline constexpr Range kFromZero = {0.0, 1e100};
inline constexpr Range kPercent = {0.0, 100.0};

// Error{Corrupt} naming the place of what is no number of the range.
double number_in(const io::Json& json, Range range);
// A member of an object; empty if it is absent or null.
std::optional<double> optional_in(const io::Json& object, std::string_view key, Range range);

}  // namespace quarot::plot
