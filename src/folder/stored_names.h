// The names of a model's tensors in the folders that this program writes, which are Llama's, and
// those of mixtures Qwen3-MoE's. Original folders of some families have fused tensors in their
// place (families/family.h).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "model/roles.h"

namespace quarot::folder {

inline constexpr std::string_view kEmbeddingName = "model.embed_tokens.weight";

// Without ".weight": "model.layers.3.mlp.down_proj", "lm_head", "model.embed_tokens"; of mixtures
// "model.layers.3.mlp.gate", the router, and "model.layers.3.mlp.experts.5.down_proj".
std::string linear_name(const model::LinearId& id);
// With ".weight"; the layer of the final norm is ignored. Models with a norm behind attention have
// Gemma 2's names.
std::string norm_name(model::NormRole role, int64_t layer, const model::ModelConfig& config);

}  // namespace quarot::folder
