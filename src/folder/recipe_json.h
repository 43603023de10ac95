// A recipe as quantization_config of a config.json holds it.
#pragma once

#include <string>
#include <vector>

#include "io/json.h"
#include "recipe/recipe.h"

namespace quarot::folder {

// As it stands in quantization_config, "quant_method" included.
io::Json to_json(const Recipe& recipe);
// From quantization_config of a quarot folder. Unknown keys are ignored; Error{Corrupt} naming a
// key that is missing or out of range, Error{Unsupported} for what this version cannot run.
Recipe recipe_from_json(const io::Json& json);

// A setting by its place in to_json, such as "weights.bits", and its value as JSON.
struct ChangedSetting {
    std::string key, value;
};
// What differs from `named`: the name, the seed and the calibration text's cut do not count.
std::vector<ChangedSetting> changed_settings(const Recipe& named, const Recipe& recipe);
// The named recipe that differs in the fewest settings.
std::string nearest_name(const Recipe& recipe);

}  // namespace quarot::folder
