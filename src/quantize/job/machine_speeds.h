// How fast does this machine do what quantizing consists of?
#pragma once

#include "core/thread_pool.h"
#include "kernels/ops.h"
#include "model/config.h"
#include "recipe/recipe.h"
#include "rotate/rotation.h"

namespace quarot::quantize {

// A second's worth of each, all threads together.
struct MachineSpeeds {
    double coded_linear_flops = 0.0;  // of a linear as the recipe stores it, on float activations
    double float_linear_flops = 0.0;
    double gram_flops = 0.0;       // of accumulate_gram; 2 for each product
    double fp64_flops = 0.0;       // of a matrix product
    double rotated_weights = 0.0;  // inputs or outputs
    double rounded_weights = 0.0;  // to nearest, clip search included if the recipe has it
    double hashed_bytes = 0.0;     // SHA-256, one thread
};

// Takes about a quarter of a second.
MachineSpeeds measure_speeds(const Recipe& recipe, const rotate::Rotation& rotation,
                             const model::ModelConfig& config, kernels::Backend& backend,
                             ThreadPool& pool);

}  // namespace quarot::quantize
