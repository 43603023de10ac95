// A model folder loaded for tests of the floors that know no folders.
#pragma once

#include <cstdint>
#include <string>

#include "kernels/ops.h"
#include "model/weights.h"

namespace quarot::test {

// folder::load_weights of the folder with nothing overridden.
model::Weights load_model(const std::string& folder, int64_t n_positions,
                          kernels::Backend& backend);

}  // namespace quarot::test
