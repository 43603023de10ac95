// What a transform means whose numbers are stored as halves between its parts.
#pragma once

#include <cstdint>
#include <span>

#include "linalg/mixer.h"

namespace quarot::kernels {

// T (x) I_inner on x [n * inner], in place: halves in, halves after the Sylvester factor with its
// 1 / sqrt(n), halves after the dense factor; each sum in double.
void transform_in_half(const linalg::Mixer& mixer, std::span<double> x, int64_t inner);

}  // namespace quarot::kernels
