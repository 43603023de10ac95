// Rotates and quantizes a whole model folder, one weight at a time, into a new folder.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/recipe.h"

namespace quarot::quantize {

struct QuantizeOptions {
    model::Recipe recipe;
    // Windows of token ids for quantizers that need calibration, all of one length
    // (calibration_windows.h); empty otherwise.
    std::vector<std::vector<int32_t>> calibration;
    std::string work_folder;  // where finished layers wait; empty: OUT.work
    bool resume = false;      // go on with the work that lies there
    bool overwrite = false;
    int64_t shard_bytes = int64_t{5} << 30;
    int n_threads = 1;
};

struct QuantizedLayerReport {
    std::string name;
    int bits = 16;
    int64_t group_size = 0;
    std::string method;
    double relative_error = 0.0;
};

struct QuantizeReport {
    double bits_per_weight = 0.0;  // of the quantized linears, scales and zero points counted
    double seconds = 0.0;
    std::vector<QuantizedLayerReport> layers;
};

// in: an unquantized model folder (Error{Unsupported} if it is one of ours already). out appears
// whole or not at all. Memory is bounded by the largest weight of a layer plus slices of the
// embedding. The same input and recipe give the same bytes for any number of threads.
QuantizeReport quantize_model(const std::string& in, const std::string& out,
                              const QuantizeOptions& options);

}  // namespace quarot::quantize
