// How grids stand in a quantized matrix.
#pragma once

#include "quantize/rounding/clip_search.h"
#include "quantize/rounding/grid.h"
#include "recipe/recipe.h"
#include "tensor/quantized_matrix.h"

namespace quarot::quantize {

// What choose_grid is to look for when its result goes into `matrix`.
GridFormat grid_format(const QuantizedMatrix& matrix, const WeightFormat& format);

// The scale, rounded to its type before, and the zero point if there is one.
void store_grid(QuantizedMatrix& matrix, int64_t row, int64_t group, const Grid& grid);

}  // namespace quarot::quantize
