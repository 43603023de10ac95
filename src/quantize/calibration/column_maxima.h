// The largest magnitude of every column of activations.
#pragma once

#include <vector>

#include "kernels/ops.h"

namespace quarot::quantize {

// maxima[j] becomes at least |rows[r][j]| for every r; it has one element a column.
void raise_column_maxima(const kernels::Rows& rows, kernels::Backend& backend,
                         std::vector<float>& maxima);

}  // namespace quarot::quantize
