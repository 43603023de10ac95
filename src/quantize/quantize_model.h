// Rotates and quantizes a whole model folder, one weight at a time, into a new folder.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/setting.h"
#include "quantize/calibration/smoothing.h"
#include "quantize/quantized_linear.h"
#include "recipe/recipe.h"

namespace quarot::quantize {

struct QuantizeOptions {
    Recipe recipe;
    // Windows of token ids for recipes that need calibration, all of one length
    // (calibration_windows.h); empty otherwise.
    std::vector<std::vector<int32_t>> calibration;
    // Instead of those found on the text; for tests of what smoothing scales do.
    std::optional<Smoothing> smoothing;
    std::string work_folder;  // where finished layers wait; empty: OUT.work
    bool resume = false;      // go on with the work that lies there
    // What the message of a job that stopped says of its finished layers.
    std::string how_to_go_on = fmt::format("the same job with {} goes on", Setting{"resume"});
    bool overwrite = false;
    int64_t shard_bytes = int64_t{5} << 30;
    int n_threads = 1;
};

struct QuantizeReport {
    double bits_per_weight = 0.0;  // of the quantized linears, scales and zero points counted
    double seconds = 0.0;
    std::vector<QuantizedLayerReport> layers;
};

// Does anything in the recipe look at calibration text?
bool needs_calibration(const Recipe& recipe);
// Does it choose codes or columns by what the layers read there, so that Hessians are gathered?
bool calibrates_layers(const Recipe& recipe);
// Error{Usage} for a recipe that needs a text and has none: what for, and what to do about it.
[[noreturn]] void fail_without_text(const Recipe& recipe);

// in: an unquantized model folder (Error{Unsupported} if it is one of ours already). out appears
// whole or not at all. Memory is bounded by what one layer needs plus the calibration activations.
// Finished layers wait in the work folder, where a stopped job can be resumed; it is removed at the
// end. The same input and options give the same bytes for any number of threads, stopped or not.
QuantizeReport quantize_model(const std::string& in, const std::string& out,
                              const QuantizeOptions& options);

}  // namespace quarot::quantize
