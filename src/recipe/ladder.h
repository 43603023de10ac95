// From the paper's recipe to this program's best, one setting after another, so that each can be
// measured for what it gives.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "recipe/recipe.h"
#include "recipe/settings.h"

namespace quarot {

// What changes beside all steps before it.
struct LadderStep {
    std::string_view name;  // "keys per channel"
    SettingChanges changes;
};

// Groups: 4.4 to 4.5 bits a value of weights, activations, K and V in heads of 64, scales counted.
const std::vector<LadderStep>& grouped_ladder();
// With one scale a token and a row of weights, as the paper.
const std::vector<LadderStep>& ungrouped_ladder();

// The same kind of groups, no wider than weights', in the paper's rotations: nothing of them is
// found on a text, and all groups are of one size.
const std::vector<LadderStep>& hadamard_ladder();

// The recipe after all of these steps, its name left as it is.
Recipe after(Recipe recipe, std::span<const LadderStep> steps);

}  // namespace quarot
