// Tables and lm_head on their way to the file: what stands before the layers and after them.
#pragma once

#include <span>

#include "quantize/layer_quantizer.h"
#include "quantize/quantized_linear.h"

namespace quarot::quantize {

// Codes of the one that the role names, rounded to nearest whatever the method: nothing after them
// could make their errors good.
QuantizedLinear quantize_outer(const QuantizeContext& context, model::LinearRole role);

// Rows [n, hidden] of a table become what a reader of the finished folder has of them.
void round_as_stored(const QuantizeContext& context, model::LinearRole table,
                     std::span<float> rows);

}  // namespace quarot::quantize
