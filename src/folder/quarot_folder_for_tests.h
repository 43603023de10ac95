// A quarot folder for tests: a tiny model whose linears are rounded to integers, with the recipe in
// its config.json and digests in its quarot.json.
#pragma once

#include "recipe/recipe.h"
#include "support/tiny_model.h"

namespace quarot::test {

// Nothing is rotated, whatever the recipe says; weights are rounded row by row. Not for tied
// models.
TinyModel make_quarot_model(const TinyModelOptions& options, const Recipe& recipe);

// The model with a quarot.json that fits its present tensors.
TinyModel with_digests(TinyModel model);

}  // namespace quarot::test
