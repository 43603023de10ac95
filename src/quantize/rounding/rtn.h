// Round to nearest: every weight to its grid, no data needed.
#pragma once

#include <memory>

#include "quantize/rounding/quantizer.h"

namespace quarot::quantize {

QuantizedMatrix quantize_rtn(const WeightMatrix& weight, const WeightFormat& format);

// Columns without codes keep their values.
std::unique_ptr<PreparedQuantizer> prepare_rtn(const WeightInputs& inputs,
                                               const WeightFormat& format, ThreadPool& pool);

}  // namespace quarot::quantize
