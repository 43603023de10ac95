// Round to nearest: every weight to its grid, no data needed.
#pragma once

#include "quantize/quantizer.h"

namespace quarot::quantize {

QuantizedMatrix quantize_rtn(const WeightMatrix& weight, std::span<const double> hessian,
                             const model::WeightFormat& format);

}  // namespace quarot::quantize
