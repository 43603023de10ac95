// A recipe as quantization_config of a config.json holds it.
#pragma once

#include "io/json.h"
#include "recipe/recipe.h"

namespace quarot::folder {

// As it stands in quantization_config, "quant_method" included.
io::Json to_json(const Recipe& recipe);
// From quantization_config of a quarot folder. Unknown keys are ignored; Error{Corrupt} naming a
// key that is missing or out of range, Error{Unsupported} for what this version cannot run.
Recipe recipe_from_json(const io::Json& json);

}  // namespace quarot::folder
