// The functions in which the layers of models differ: norms and activations.
#pragma once

#include <cstdint>

namespace quarot::kernels {

// Over the n values of a row or of one group of it:
//   Rms    x_i / sqrt(mean(x^2) + eps) * gain_i
//   Layer  (x_i - mean(x)) / sqrt(mean((x - mean(x))^2) + eps) * gain_i + bias_i
enum class NormKind : int32_t { Rms, Layer };

// Of one value:
//   Silu      x / (1 + exp(-x))
//   GeluTanh  x / (1 + exp(-2 z)), z = sqrt(2 / pi) (x + 0.044715 x^3); it is x (1 + tanh z) / 2
//   Gelu      x (1 + erf(x / sqrt(2))) / 2
//   Relu      max(x, 0); NaN stays NaN
enum class Activation : int32_t { Silu, GeluTanh, Gelu, Relu };

}  // namespace quarot::kernels
