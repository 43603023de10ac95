// The parts of a model's rotation, as people and scripts see them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/config.h"
#include "recipe/recipe.h"

namespace quarot::apps {

struct RotationLine {
    const char* name = "";
    std::string kind = "none";  // none, hadamard, random, file, hartley, identity
    int64_t order = 0;
    std::string decomposition = {};
    bool online = false;  // of R1: at the inputs of layers, where outputs have norms
};

// R1, R2, R3, R4 and head_mix, in this order. Makes no dense matrix.
std::vector<RotationLine> rotation_lines(const RotationSpec& spec,
                                         const model::ModelConfig& config);

// The parts that change something: "R1 (hadamard), R2, R3, R4, head mix", "none".
std::string describe_rotation(const RotationSpec& spec, const model::ModelConfig& config);

}  // namespace quarot::apps
