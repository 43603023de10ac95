// What families that name their tensors as Llama does can share with it.
#pragma once

#include "folder/families/family.h"

namespace quarot::folder {

TensorSlice llama_linear(const model::LinearId& id, const model::ModelConfig& config);
std::string llama_norm(model::NormRole role, int64_t layer);
inline constexpr std::string_view kLlamaEmbedding = "model.embed_tokens.weight";

extern const Family kLlamaFamily;
extern const Family kMistralFamily;

}  // namespace quarot::folder
