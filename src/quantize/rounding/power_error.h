// How far from a grid a run of weights lies, in the norm of the clip search: sum |w_hat - w|^2.4.
#pragma once

#include <limits>
#include <span>

#include "quantize/rounding/grid.h"
#include "quantize/rounding/vector_loop.h"

namespace quarot::quantize {

// sum over w of |(w_hat - w) * unit|^2.4, each power right to about 1e-6. unit keeps the powers of
// large and small weights within fp32; a power of two changes no comparison. Added up in one fixed
// order; as soon as the sum exceeds `limit` what was added so far is returned.
double power_error(std::span<const float> w, const Grid& grid, float unit,
                   double limit = std::numeric_limits<double>::infinity());

// errors[i] = |(w_hat[i] - w[i]) * unit|^2.4
using PowerKernel = void (*)(std::span<const float> w, const Grid& grid, float unit, float* errors);

using PowerVariant = LoopVariant<PowerKernel>;

// The compiled forms of the one loop that this machine can run, best last; equal results.
std::span<const PowerVariant> power_variants();

}  // namespace quarot::quantize
