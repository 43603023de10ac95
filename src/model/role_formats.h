// What a recipe says of each linear: the format of its weights and of its inputs.
#pragma once

#include <cstdint>

#include "model/config.h"
#include "model/roles.h"
#include "recipe/recipe.h"

namespace quarot::model {

// Do head and embedding, which are one matrix in the model, stay one? Not where their bits differ,
// nor where the head alone has a norm's gain and R1 folded in; with tied_rotation neither is: a row
// that is read goes through R1, and R1 is undone and the gain applied before the head. A random R1
// has no fast form for that. Nor where R1 stands at inputs of layers alone (rule_of),
// nor where the embedding alone is centred (folds_means).
bool stays_tied(const Recipe& recipe, const ModelConfig& config);
// Does it so under a rotated residual stream?
bool rotates_embedding_online(const Recipe& recipe, const ModelConfig& config);
// Is the gain of this norm in the weights that follow? Never the last one's if R1 does not reach
// it.
bool folds(const Recipe& recipe, const ModelConfig& config, NormRole norm);

// Are the means that LayerNorm subtracts taken out of what writes the residual stream, and its
// biases into what reads it? Both go the way of the gains.
bool folds_means(const Recipe& recipe, const ModelConfig& config);
// What is left of a model's norms in a folder that the recipe makes of it: RMSNorm where their
// means are folded, and where it had biases, one on each linear that reads a norm.
ModelConfig folded_config(ModelConfig config, const Recipe& recipe);

// Bits of a weight; 16: stored as floating point, as routers always are.
int weight_bits(const Recipe& recipe, LinearRole role);
// The recipe's format of weights with the bits of this one; embedding and head may have groups of
// their own.
WeightFormat weight_format(const Recipe& recipe, LinearRole role);
// What the input of a linear is quantized to. Activations of 16 bits stay so everywhere, down_proj
// included; those of lm_head and of routers are never quantized.
kernels::ActivationFormat activation_format(const Recipe& recipe, LinearRole role);

// What a place has of its own; 0: nothing.
int& own_bits(SiteBits& bits, InputSite site);
// Is this the linear that the clip ratio of its input's place is stored with, the first one there?
bool holds_clip(const Recipe& recipe, LinearRole role);
// Error{Usage} or Error{Unsupported} where searched clip ratios do not fit the model or the recipe.
void check_clip_search(const Recipe& recipe, const ModelConfig& config);

// Do the inputs of a linear stand in an order of their own? Never those of a dense one, lm_head
// or the embedding.
bool has_column_order(const Recipe& recipe, LinearRole role);
// How many of its inputs are kept apart: the fewest that are the recipe's share and leave a
// multiple of the groups.
int64_t n_outliers(const Recipe& recipe, LinearRole role, const ModelConfig& config);
// Of [rows, cols] of a weight in codes.
kernels::CodesForm codes_form(const Recipe& recipe, LinearRole role, int64_t rows, int64_t cols);
// Error{Unsupported} for what mixtures of experts do not have in this version: columns kept apart,
// smoothing, column blocks, refitted weights.
void check_mixtures(const Recipe& recipe, const ModelConfig& config);
// Error{Usage} for a group size that does not divide every width it is used on, naming those that
// do.
void check_groups(const Recipe& recipe, const ModelConfig& config);

}  // namespace quarot::model
