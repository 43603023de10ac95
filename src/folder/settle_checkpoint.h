// Tensors under other names, and embeddings and heads that share one matrix: what is stored
// decides, where config.json says something else.
#pragma once

#include "folder/families/family.h"
#include "io/checkpoint.h"
#include "model/config.h"
#include "recipe/recipe.h"

namespace quarot::folder {

// Gives tensors that stand under one of the family's other names their usual one. Then, of a config
// with tied_embeddings: where the files hold another head beside the embedding, the model is
// untied, with a warning; where they hold the head alone, `checkpoint` gives it under the
// embedding's name, too. Reads both matrices if both are there.
void settle_checkpoint(io::Checkpoint& checkpoint, const Family& family, const Recipe& recipe,
                       model::ModelConfig& config);

}  // namespace quarot::folder
