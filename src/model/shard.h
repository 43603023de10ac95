// Which part of a network one rank of a tensor-parallel group has.
#pragma once

#include <cstdint>
#include <string>

#include "model/config.h"
#include "model/roles.h"
#include "recipe/recipe.h"

namespace quarot::model {

// Rank r of n has the r-th n-th of the heads, of the KV heads, of the FFN's width and, where it
// divides, of the logits: rows of q, k, v, gate, up and head, columns of o and down. The embedding
// and the norms are everybody's.
struct Shard {
    int rank = 0;
    int size = 1;
};

enum class Cut { None, Rows, Columns };
Cut cut_of(LinearRole role, const ModelConfig& config, const Shard& shard);

// The network as one rank sees it: its heads and its part of the FFN, and the whole vocabulary.
// Error{Unsupported} naming what the ranks cannot share evenly, or at all.
ModelConfig local_config(const ModelConfig& config, const Shard& shard);

// The recipe for 1, 2, 4 ... tp_max ranks with the same results on each: head mix and R4 in tp_max
// blocks, a token's scale before o_proj and down_proj one in each block. Error{Usage} if its blocks
// do not fit, or the recipe has blocks of its own.
Recipe with_column_blocks(Recipe recipe, const ModelConfig& config, int64_t tp_max);

// Is tp_max 1, or a power of two that divides heads, KV heads and the FFN's width, with rotations
// of as many blocks, which groups divide, and without columns kept apart?
bool column_blocks_fit(const Recipe& recipe, const ModelConfig& config);

// Inputs of a block of o or down in a recipe with blocks, else 0.
int64_t column_block(const Recipe& recipe, const ModelConfig& config, LinearRole role);

// Error{Unsupported} if the recipe was not made for so many ranks: where a rotation, a group or the
// scale of a token would span what ranks share, or columns are kept apart. `folder`: for the
// message.
void check_shard(const Recipe& recipe, const ModelConfig& config, const Shard& shard,
                 const std::string& folder);

}  // namespace quarot::model
