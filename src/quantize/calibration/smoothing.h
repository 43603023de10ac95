// SmoothQuant's scales: how much of each column of what a norm gives is to be the weights'
// business.
#pragma once

#include <span>
#include <vector>

#include "core/thread_pool.h"
#include "folder/source_model.h"
#include "kernels/ops.h"
#include "quantize/calibration/calibration_windows.h"

namespace quarot::quantize {

// The norms whose gains smoothing divides, and whose linears' columns it multiplies.
bool is_smoothed(const Recipe& recipe, model::NormRole role);

// s_j = |x_j|^alpha / |w_j|^(1 - alpha) of column maxima; 1 where either is 0.
std::vector<double> smoothing_scales(std::span<const float> x_maxima,
                                     std::span<const float> w_maxima, double alpha);

struct Smoothing {
    struct Layer {
        std::vector<double> attention, mlp;  // [hidden]
    };
    double alpha = 0.0;
    std::vector<Layer> layers;  // empty: nothing is smoothed

    // Empty for what is not smoothed.
    std::span<const double> of(model::NormRole role, int64_t layer) const;
};

// From one pass of the windows through the unquantized model. A recipe without an alpha gets the
// one of the grid for which the linears that read smoothed values, with these and their weights
// quantized as the recipe says (weights by rounding to nearest), come nearest to their outputs: the
// smallest sum over linears of ||y - y_q||^2 / ||y||^2 over the first window. The same result for
// any number of threads.
Smoothing find_smoothing(const folder::SourceModel& source, const Recipe& recipe,
                         const TokenWindows& windows, ThreadPool& pool, kernels::Backend& backend);

}  // namespace quarot::quantize
