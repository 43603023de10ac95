// What families that name their tensors as Llama does can share with it.
#pragma once

#include "model/families/family.h"

namespace quarot::model {

TensorSlice llama_linear(const LinearId& id, const ModelConfig& config);
std::string llama_norm(NormRole role, int64_t layer);
inline constexpr std::string_view kLlamaEmbedding = "model.embed_tokens.weight";

extern const Family kLlamaFamily;
extern const Family kMistralFamily;

}  // namespace quarot::model
