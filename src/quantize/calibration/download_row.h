// A row of activations, brought to the host as floats.
#pragma once

#include <span>

#include "kernels/ops.h"

namespace quarot::quantize {

// Waits. out: [rows.cols].
void download_row(const kernels::Rows& rows, int64_t row, kernels::Backend& backend,
                  std::span<float> out);

}  // namespace quarot::quantize
