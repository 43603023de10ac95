// Rotary position embedding: the angles of every position.
#pragma once

#include <cstdint>
#include <vector>

#include "model/config.h"

namespace quarot::model {

// Does the length of a session decide its frequencies? Then one of n_positions has others than a
// shorter one: Dynamic beyond the original context, LongRope on either side of it.
bool depends_on_length(const RopeConfig& rope);

// Frequencies of pairs (i, i + head_dim / 2), i in [0, head_dim / 2), fp64; 0 where nothing turns.
// Exponents run over the values that turn: theta^(-2i / rotary_dim), scaled by the type's rule.
// n_positions: the most that the session may have, for which they are chosen once, since keys stay
// in the cache as they were turned.
std::vector<double> rope_frequencies(const RopeConfig& rope, int64_t head_dim, int64_t n_positions);

struct RopeAngles {
    // [n, frequencies.size()], amplitude * cos(p * f_i) in fp64, rounded once; 1 if f_i is 0.
    std::vector<float> cos;
    std::vector<float> sin;  // amplitude * sin(p * f_i)
};
// Of positions p in [first, first + n).
RopeAngles rope_angles(const std::vector<double>& frequencies, double amplitude, int64_t first,
                       int64_t n);

}  // namespace quarot::model
