#include "plot/number.h"

#include "core/error.h"

namespace quarot::plot {

double number_in(const io::Json& json, Range range) {
    const double value = json.as_double();
    if (value >= range.least && value <= range.most) return value;
    fail(ErrorCode::Corrupt, "{} is {}, expected a number from {} to {}", json.place(), value,
         range.least, range.most);
}

std::optional<double> optional_in(const io::Json& object, std::string_view key, Range range) {
    const io::Json* value = object.find(key);
    if (value == nullptr) return std::nullopt;
    return number_in(*value, range);
}

}  // namespace quarot::plot
