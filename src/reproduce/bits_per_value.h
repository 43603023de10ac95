// How many bits does a value of the activations and of the cache take, scales and zero points
// counted?
#pragma once

#include "model/config.h"
#include "recipe/recipe.h"

namespace quarot::reproduce {

// Mean over the inputs of a layer's linears, each input once however many weights read it; a scale
// has 32 bits, a zero point 32 as well, of two levels both 8 and a row's unit 32. First positions
// count as the others. 16: not quantized.
double bits_per_activation(const Recipe& recipe, const model::ModelConfig& config);

// Mean of K and V as the cache keeps them; a side of 16 bits counts as 16.
double bits_per_kv(const Recipe& recipe, const model::ModelConfig& config);

}  // namespace quarot::reproduce
