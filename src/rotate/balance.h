// Scales that share out between up and down how hard each hidden unit of an MLP is to quantize.
#pragma once

#include <span>
#include <vector>

namespace quarot::rotate {

// s_i = (w_i / x_i)^(exponent / 4), w_i the sum of squares of column i of down and x_i the mean
// square of what it reads; then over their geometric mean, and kept within [1e-3, 1e3]. Where
// either is 0, s_i is 1 and not counted. exponent 1 makes s_i^2 x_i and w_i / s_i^2 alike.
std::vector<double> balancing_scales(std::span<const double> w, std::span<const double> x,
                                     double exponent);

}  // namespace quarot::rotate
