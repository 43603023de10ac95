// How much memory will a job hold at its worst moment?
#pragma once

#include <cstdint>

#include "model/config.h"
#include "quantize/output_plan.h"
#include "recipe/recipe.h"
#include "rotate/rotation.h"

namespace quarot::quantize {

struct JobShape {
    const model::ModelConfig& config;
    const Recipe& recipe;
    const rotate::Rotation& rotation;
    bool calibrated = false;  // a text runs through the layers
    bool hessians = false;    // and what they read is gathered
    bool refits = false;      // and the text runs at full precision beside
    bool on_gpu = false;      // both in the memory of a GPU
    int64_t n_tokens = 0;     // of the calibration text; 0 without one
    int64_t seqlen = 0;       // of one window
    int n_threads = 1;
};

// An estimate of the peak; it does not depend on the number of layers.
int64_t job_ram_bytes(const JobShape& shape);

// The same of the memory of a GPU that the text runs on.
int64_t job_device_bytes(const JobShape& shape);

}  // namespace quarot::quantize
