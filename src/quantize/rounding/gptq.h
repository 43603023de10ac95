// GPTQ: columns are rounded one after another, each error made good by the columns after it.
#pragma once

#include <memory>

#include "quantize/rounding/quantizer.h"

namespace quarot::quantize {

// Rounds to nearest, with a warning, for a Hessian that no damping makes positive definite.
std::unique_ptr<PreparedQuantizer> prepare_gptq(const WeightInputs& inputs,
                                                const WeightFormat& format, ThreadPool& pool);

}  // namespace quarot::quantize
