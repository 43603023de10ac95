// The shapes of published models, so that speed is measured without any file.
#pragma once

#include <string>
#include <vector>

#include "model/config.h"

namespace quarot::bench {

// In rising order of size.
std::vector<std::string> shape_names();

// As the model's config.json says; Error{Usage} naming the shapes there are.
model::ModelConfig shape_of(const std::string& name);

}  // namespace quarot::bench
