// Which tensors the quantized folder will hold, and in which file each of them stands.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "folder/source_model.h"
#include "io/safetensors.h"
#include "recipe/recipe.h"
#include "rotate/rotation.h"

namespace quarot::quantize {

struct ShardPlan {
    std::string file;
    std::vector<io::PlannedTensor> tensors;
};

// Shards in the order in which they are to be filled: embedding, layers, final norm, head. The
// tensors of one weight (codes, scales, bias) never part.
struct OutputPlan {
    bool tied_embeddings = false;
    model::ModelConfig config;  // of the folder
    std::vector<ShardPlan> shards;
    std::map<std::string, size_t> shard_of;  // by tensor name
    std::map<std::string, DType> dtype_of;   // by tensor name
    int64_t total_bytes = 0;                 // of all tensors
};

// Tensors that the rotation, folded gains or smoothing change get the recipe's storage type, all
// others keep theirs. A tied head is written out once it differs from the embedding. A shard holds
// at most shard_bytes unless a single weight is larger; Error{Usage} unless shard_bytes >= 1.
OutputPlan plan_output(const folder::SourceModel& source, const rotate::Rotation& rotation,
                       const Recipe& recipe, int64_t shard_bytes);

}  // namespace quarot::quantize
