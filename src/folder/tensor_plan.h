// Which tensors a model folder must hold, and whether it does.
#pragma once

#include <array>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "folder/families/family.h"
#include "io/checkpoint.h"
#include "model/config.h"
#include "recipe/recipe.h"

namespace quarot::folder {

struct ExpectedTensor {
    Shape shape;
    std::vector<DType> dtypes;                   // any of these
    std::array<std::string_view, 2> shape_keys;  // of config.json, one a dimension
};

using TensorPlan = std::map<std::string, ExpectedTensor>;  // by name

TensorPlan plan_tensors(const Family& family, const model::ModelConfig& config,
                        const Recipe& recipe);

// Error{Corrupt} naming file, tensor, what it is and what it should be. A bias of a linear that the
// config says has none is an error, since the model would compute something else; other tensors
// that the model does not use are ignored, with a warning unless they are known to be harmless.
void check_tensors(const TensorPlan& plan, const io::Checkpoint& checkpoint);
// The same without an end at the first: what is wrong with each tensor, without warnings.
std::vector<std::string> tensor_problems(const TensorPlan& plan, const io::Checkpoint& checkpoint);

}  // namespace quarot::folder
