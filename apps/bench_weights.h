// The weights that quarot bench measures: random ones of a shape, where memory has room for them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "bench/speed_test.h"
#include "kernels/group.h"
#include "model/config.h"
#include "recipe/recipe.h"
#include "runtime/model_group.h"

namespace quarot::apps {

// The first n_layers of the shape, or all; Error{Usage} for more than it has. `name` is for
// messages.
model::ModelConfig cut_shape(model::ModelConfig config, std::optional<int64_t> n_layers,
                             const std::string& name);

// Say on stderr what runs. Error{OutOfMemory} that names the layers that fit, where they or the
// cache are too large for a backend's memory.
model::Weights make_random_weights(const model::ModelConfig& config, const Recipe& recipe,
                                   const bench::CacheSize& cache, const std::string& name,
                                   kernels::Backend& backend);
runtime::ModelGroup make_random_group(const model::ModelConfig& config, const Recipe& recipe,
                                      const bench::CacheSize& cache, const std::string& name,
                                      std::vector<kernels::Rank> group);

}  // namespace quarot::apps
