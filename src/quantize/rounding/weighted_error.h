// How far from a grid a run of weights lies where inputs differ in size: sum h (w_hat - w)^2.
#pragma once

#include <limits>
#include <span>

#include "quantize/rounding/grid.h"
#include "quantize/rounding/vector_loop.h"

namespace quarot::quantize {

// importance: h of each weight, not negative. In fp64 but for w / scale, in one fixed order; as
// soon as the sum exceeds `limit` what was added so far is returned.
double weighted_error(std::span<const float> w, std::span<const double> importance,
                      const Grid& grid, double limit = std::numeric_limits<double>::infinity());

// errors[i] = importance[i] (w_hat[i] - w[i])^2
using WeightedKernel = void (*)(std::span<const float> w, const double* importance,
                                const Grid& grid, double* errors);

using WeightedVariant = LoopVariant<WeightedKernel>;

// The compiled forms of the one loop that this machine can run, best last; equal results.
std::span<const WeightedVariant> weighted_variants();

}  // namespace quarot::quantize
