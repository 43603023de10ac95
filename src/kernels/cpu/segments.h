// Where do the integer sums of a row end? At every border of a group of weights or activations.
#pragma once

#include <algorithm>
#include <cstdint>

namespace quarot::kernels::cpu {

// Inputs [first, last) that share one scale on either side.
struct Segment {
    int64_t number, first, last;
    int64_t activation_group, weight_group;
};

// body(segment) from left to right; groups of whole rows are `n_inputs` long. Returns how many.
template <typename Body>
int64_t for_each_segment(int64_t n_inputs, int64_t activation_group, int64_t weight_group,
                         const Body& body) {
    int64_t number = 0;
    for (int64_t first = 0; first < n_inputs; ++number) {
        const int64_t a = first / activation_group, w = first / weight_group;
        const int64_t last = std::min((a + 1) * activation_group, (w + 1) * weight_group);
        body(Segment{number, first, last, a, w});
        first = last;
    }
    return number;
}

}  // namespace quarot::kernels::cpu
