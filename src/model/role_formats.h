// What a recipe says of each linear: the format of its weights and of its inputs.
#pragma once

#include <cstdint>

#include "model/config.h"
#include "model/roles.h"
#include "recipe/recipe.h"

namespace quarot::model {

// Bits of a weight; 16: stored as floating point.
int weight_bits(const Recipe& recipe, LinearRole role);
// The recipe's format of weights with the bits of this one.
WeightFormat weight_format(const Recipe& recipe, LinearRole role);
// What the input of a linear is quantized to. Activations of 16 bits stay so everywhere, down_proj
// included; the input of lm_head is never quantized.
kernels::ActivationFormat activation_format(const Recipe& recipe, LinearRole role);

// Do the inputs of a linear stand in an order of their own? Never those of a dense one or lm_head.
bool has_column_order(const Recipe& recipe, LinearRole role);
// How many of its inputs are kept apart: the fewest that are the recipe's share and leave a
// multiple of the groups.
int64_t n_outliers(const Recipe& recipe, LinearRole role, const ModelConfig& config);
// Bytes of the codes of [rows, cols] in a backend's memory: in containers of 4 or 8 bits, with
// scales as F32 and zero points as bytes.
int64_t codes_bytes(int64_t rows, int64_t cols, const WeightFormat& format);
// Error{Usage} for a group size that does not divide every width it is used on, naming those that
// do.
void check_groups(const Recipe& recipe, const ModelConfig& config);

}  // namespace quarot::model
