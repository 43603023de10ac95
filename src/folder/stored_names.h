// The names of a model's tensors in the folders that this program writes, which are Llama's, and
// those of mixtures Qwen3-MoE's. Original folders of some families have fused tensors in their
// place (families/family.h).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "model/roles.h"

namespace quarot::folder {

// Without ".weight": "model.layers.3.mlp.down_proj", "lm_head", "model.embed_tokens",
// "model.embed_positions"; of mixtures "model.layers.3.mlp.gate", the router, and
// "model.layers.3.mlp.experts.5.down_proj".
std::string linear_name(const model::LinearId& id);
// Without ".weight" and with it, and the norm's bias; the layer of the final norm is ignored.
// Models with a norm behind attention have Gemma 2's names.
std::string norm_stem(model::NormRole role, int64_t layer, const model::ModelConfig& config);
std::string norm_name(model::NormRole role, int64_t layer, const model::ModelConfig& config);
std::string norm_bias_name(model::NormRole role, int64_t layer, const model::ModelConfig& config);

}  // namespace quarot::folder
