// Rotary position embedding: the angles of every position.
#pragma once

#include <cstdint>
#include <vector>

#include "model/config.h"

namespace quarot::model {

// Frequencies f_i, i in [0, head_dim / 2), of the config's RoPE type, fp64.
std::vector<double> rope_frequencies(const RopeConfig& rope, int64_t head_dim);

struct RopeAngles {
    std::vector<float> cos;  // [n_positions, head_dim / 2], cos(p * f_i) in fp64, rounded once
    std::vector<float> sin;
};
// Of positions p in [first, first + n_positions).
RopeAngles rope_angles(const RopeConfig& rope, int64_t head_dim, int64_t first,
                       int64_t n_positions);

}  // namespace quarot::model
