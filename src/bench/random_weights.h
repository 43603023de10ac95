// Weights of any shape and recipe with random contents, made in seconds and without any file: the
// speed of a model depends on its shape alone.
#pragma once

#include <cstdint>
#include <string>

#include "bench/speed_test.h"
#include "core/host_memory.h"
#include "kernels/ops.h"
#include "model/config.h"
#include "model/shard.h"
#include "model/weights.h"
#include "recipe/recipe.h"

namespace quarot::bench {

// Bytes that random_weights() will hold, tables of positions counted, and those of the backend's
// cache. A size beyond int64 is its largest value. source: local_config of the rank.
MemoryNeed memory_need(const model::ModelConfig& source, const Recipe& recipe,
                       const CacheSize& cache, const kernels::Backend& backend);

// Bytes that a product with one linear of random_weights() reads: its floats, or its codes in their
// containers with what belongs to them.
int64_t linear_bytes(const model::LinearId& id, const model::ModelConfig& config,
                     const Recipe& recipe);

// The most layers of this shape that `available` bytes hold; may be 0, at most config.n_layers.
int64_t fitting_layers(model::ModelConfig config, const Recipe& recipe, const CacheSize& cache,
                       const kernels::Backend& backend, int64_t available);

// What load_weights() makes of a folder of this recipe, filled by the generator mt19937_64(seed):
// quantized weights are random codes, float tensors random values of magnitude [2^-6, 2^-5) in the
// recipe's dtype, or BF16 where the recipe keeps the source's. A head stays tied where quantizing
// would leave it so, and LayerNorm becomes RMSNorm where it would. `name` is for messages.
// Error{Usage} for groups that do not divide a width, Error{Unsupported} for recipes that keep
// columns apart, or were not made for so many ranks. Stops between layers on a signal.
model::Weights random_weights(const model::ModelConfig& config, const Recipe& recipe,
                              int64_t n_positions, const std::string& name, uint64_t seed,
                              kernels::Backend& backend, const model::Shard& shard = {});

}  // namespace quarot::bench
