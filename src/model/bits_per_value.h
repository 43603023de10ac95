// How many bits does a value of the activations and of the cache take, scales and zero points
// counted?
#pragma once

#include "model/config.h"
#include "model/roles.h"
#include "recipe/recipe.h"

namespace quarot::model {

// Of all that what one linear reads takes for a token, a scale having 32 bits, a zero point 32 as
// well, of two levels both 8 and a row's unit 32. First positions count as the others. 16 a value
// where nothing is quantized.
int64_t input_bits(const Recipe& recipe, LinearRole role, const ModelConfig& config);
// How many values that are.
int64_t input_values(LinearRole role, const ModelConfig& config);

// Mean over the weights of all layers as a folder stores them: codes in whole words of 32 bits a
// row, scales of 32 bits, of groups 16, zero points 8. Weights that are not quantized count 16.
double bits_per_weight(const Recipe& recipe, const ModelConfig& config);

// Mean over the inputs of a layer's linears, each input once however many weights read it; of a
// mixture the first expert's count.
double bits_per_activation(const Recipe& recipe, const ModelConfig& config);

// As the cache keeps them; 16 bits count as 16.
double bits_per_k(const Recipe& recipe, const ModelConfig& config);
double bits_per_v(const Recipe& recipe, const ModelConfig& config);
double bits_per_kv(const Recipe& recipe, const ModelConfig& config);  // the mean of both

}  // namespace quarot::model
