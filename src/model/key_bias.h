// The bias of keys as attention adds it to what the cache holds (kernels::KeyBias).
#pragma once

#include <vector>

#include "model/config.h"
#include "recipe/recipe.h"

namespace quarot::model {

// Does the cache hold keys without their bias? If the recipe wants so, keys are quantized and have
// a bias, nothing stands between it and RoPE, and every layer has RoPE.
// Is the bias of keys of a layer the same in all scores of a query, so that softmax does not see
// it? Where neither RoPE turns it nor a norm of k follows.
bool k_bias_vanishes(const ModelConfig& config, int64_t layer);
bool keeps_k_bias_apart(const Recipe& recipe, const ModelConfig& config);

// [n_kv_heads, head_dim, head_dim] of a bias [n_kv_heads * head_dim]: with h = head_dim / 2, row i
// is R3 (b_i e_i + b_(h+i) e_(h+i)) and row h + i is R3 (b_i e_(h+i) - b_(h+i) e_i), in fp64,
// rounded once.
std::vector<float> key_bias_basis(const std::vector<float>& bias, const RotationSpec& rotation,
                                  const ModelConfig& config);

}  // namespace quarot::model
