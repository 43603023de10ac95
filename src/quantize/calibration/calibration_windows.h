// Which pieces of a text calibration looks at.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "recipe/recipe.h"

namespace quarot::quantize {

using TokenWindows = std::vector<std::vector<int32_t>>;

// spec.n_samples windows of spec.seqlen tokens. First: one after the other from the start. Random:
// starts drawn by random.seed(seed), random.randint(0, n - seqlen - 1) each, as the original
// program does; windows may overlap. Error{Usage} if the text is too short.
TokenWindows calibration_windows(std::span<const int32_t> ids, const CalibrationSpec& spec,
                                 uint32_t seed);

}  // namespace quarot::quantize
