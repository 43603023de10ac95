// Embeddings and heads that share one matrix: what is stored decides, where config.json says
// something else.
#pragma once

#include "io/checkpoint.h"
#include "model/config.h"

namespace quarot::folder {

// Of a config with tied_embeddings: where the files hold another head beside the embedding, the
// model is untied, with a warning; where they hold the head alone, `checkpoint` gives it under the
// embedding's name, too. Reads both matrices if both are there.
void settle_tied_head(io::Checkpoint& checkpoint, model::ModelConfig& config);

}  // namespace quarot::folder
