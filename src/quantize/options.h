// What a quantize job is told besides its two folders, and what its recipe asks for.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/setting.h"
#include "kernels/ops.h"
#include "quantize/calibration/smoothing.h"
#include "recipe/recipe.h"

namespace quarot::quantize {

struct QuantizeOptions {
    Recipe recipe;
    // Windows of token ids for recipes that need calibration, all of one length
    // (calibration_windows.h); empty otherwise.
    std::vector<std::vector<int32_t>> calibration;
    // Q of an R1 from a file (residual_matrix.h), [hidden, hidden]; empty otherwise.
    std::vector<double> residual;
    // Instead of those found on the text; for tests of what smoothing scales do.
    std::optional<Smoothing> smoothing;
    std::string work_folder;  // where finished layers wait; empty: OUT.work
    bool resume = false;      // go on with the work that lies there
    // What the message of a job that stopped says of its finished layers.
    std::string how_to_go_on = fmt::format("the same job with {} goes on", Setting{"resume"});
    // What a search turned back of the recipe that was asked for; told in quarot.json.
    std::vector<std::string> reverted;
    bool overwrite = false;
    int64_t shard_bytes = int64_t{5} << 30;
    int n_threads = 1;
    // Where the calibration text runs and GPTQ solves: a name of kernels::make_backend.
    std::string device = "cpu";
};

// Is any weight of the layers quantized?
bool quantizes_layers(const Recipe& recipe);
// Does anything in the recipe look at calibration text?
bool needs_calibration(const Recipe& recipe);
// Does it choose codes or columns by what the layers read there, so that Hessians are gathered?
bool calibrates_layers(const Recipe& recipe);
// Does the text also run at full precision beside, for weights to be fitted to it?
bool refits_weights(const Recipe& recipe);
// Error{Unsupported} for what the text cannot do there.
void check_backend(const Recipe& recipe, const kernels::Backend& backend);
// Error{Usage} for a recipe that needs a text and has none: what for, and what to do about it.
[[noreturn]] void fail_without_text(const Recipe& recipe);

}  // namespace quarot::quantize
