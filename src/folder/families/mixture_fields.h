// What a config.json says of mixtures of experts.
#pragma once

#include <string_view>

#include "io/json.h"
#include "model/config.h"

namespace quarot::folder {

// Experts under "num_local_experts", or "num_experts" as transformers 4 has it for some families;
// "num_experts_per_tok"; the width of experts under ffn_key. Error{Corrupt} for values out of range
// or at odds with each other.
model::Mixture read_mixture(const io::Json& config, std::string_view ffn_key);

// Error{Corrupt} if the model's mixtures have more experts together than a folder may ask for. Of a
// model whose layers are filled in.
void check_expert_count(const io::Json& config, const model::ModelConfig& model);

}  // namespace quarot::folder
