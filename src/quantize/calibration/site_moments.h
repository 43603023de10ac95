// Second moments of what a site reads in two streams of the calibration text: that of the quantized
// model, x~, and that at full precision, x.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/ops.h"
#include "model/roles.h"
#include "quantize/calibration/calibration.h"

namespace quarot::quantize {

// Sums over the tokens of some windows, [n, n] row-major.
struct Moments {
    std::vector<double> own;    // of x~ x~^T
    std::vector<double> cross;  // of x x~^T
    int64_t n_tokens = 0;
};

// Of the windows that weights are fitted to, and of those that only judge them.
struct SiteMoments {
    int64_t n = 0;
    Moments fitted, held_out;
};

// Every eighth window; of fewer than eight the last.
bool is_held_out(int64_t window, int64_t n_windows);

// Both streams stand in the same layer, on `backend`. At least two windows.
SiteMoments moments_of(Calibration& quantized, Calibration& exact, model::InputSite site,
                       kernels::Backend& backend);

}  // namespace quarot::quantize
