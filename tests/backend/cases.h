// The one table of shapes, formats and limits that every backend is held to.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <string_view>

#include "kernels/ops.h"

namespace quarot::backend_test {

// Single row, odd counts, and one more than a full tile of any backend.
inline constexpr std::array<int64_t, 4> kRowCounts = {1, 3, 15, 33};
// Less than a vector register, powers of two, ragged ends, and widths of real models.
inline constexpr std::array<int64_t, 6> kWidths = {8, 64, 90, 172, 576, 768};
inline constexpr std::array<int64_t, 4> kHeadDims = {8, 64, 96, 128};
inline constexpr std::array<int, 7> kBits = {2, 3, 4, 5, 6, 7, 8};

struct LinearShape {
    int64_t rows, in, out;
};
inline constexpr std::array kLinearShapes = {
    LinearShape{1, 8, 8},     LinearShape{3, 8, 1},     LinearShape{1, 64, 90},
    LinearShape{15, 90, 33},  LinearShape{33, 90, 172}, LinearShape{3, 172, 576},
    LinearShape{1, 576, 192}, LinearShape{15, 768, 64}, LinearShape{33, 576, 90},
    LinearShape{1, 768, 172}, LinearShape{7, 2048, 17}, LinearShape{2, 1, 5},
};

struct AttentionShape {
    int64_t n_heads, n_kv_heads, head_dim;
};
inline constexpr std::array kAttentionShapes = {
    AttentionShape{2, 2, 8},
    AttentionShape{9, 3, 64},
    AttentionShape{4, 1, 96},
    AttentionShape{4, 2, 128},
};

struct MixerShape {
    int64_t n, inner, blocks;  // a row holds `blocks` runs of n * inner elements
};
inline constexpr std::array kMixerShapes = {
    MixerShape{8, 1, 1},   MixerShape{64, 1, 9},  MixerShape{128, 1, 2}, MixerShape{96, 1, 3},
    MixerShape{172, 1, 1}, MixerShape{90, 1, 1},  MixerShape{576, 1, 1}, MixerShape{768, 1, 1},
    MixerShape{4, 64, 1},  MixerShape{12, 96, 1}, MixerShape{8, 8, 2},   MixerShape{1536, 1, 1},
};

// The forms that a backend may refuse, by words of its message; any other refusal is a failure.
struct Refusal {
    std::string_view backend, words;
};
inline constexpr std::array<Refusal, 4> kKnownRefusals = {{
    {"cpu", "inside a head of"},
    {"cpu", "unquantized first positions"},
    {"cuda", "inside a head of"},
    {"cuda", "unquantized first positions"},
}};

// Integers, and everything computed from integers by the expressions of ops.h, must be equal. The
// rest may differ from the double result by c * eps * norm, with norm the size of what is summed:
// eps is the distance from 1 to the next fp32 number, twice the largest error of one rounding.
inline constexpr double kEps = std::numeric_limits<float>::epsilon();

// Dot product of n terms, norm = sum |x w|. The errors of n fp32 additions behave like a random
// walk; eight more cover widening, bias and the rounding of the result.
inline double dot_limit(int64_t n, double norm) {
    return (8.0 + std::sqrt(static_cast<double>(n))) * kEps * norm;
}
// Orthogonal transform of order n, norm = Euclidean norm of the block: a random walk through at
// most n additions with terms of one size, then the scaling.
inline double transform_limit(int64_t n, double norm) {
    return (4.0 + std::sqrt(static_cast<double>(n)) / 2.0) * kEps * norm;
}
// A mean of squares has no cancellation; square root, reciprocal and two products follow.
inline double rms_norm_limit(double result) {
    return 16.0 * kEps * std::fabs(result);
}
// Value i of a run: the mean is a sum, a random walk; what is left of its error and of a
// difference's rounding grows as the run's size is divided out. Then as the RMS norm, a product and
// a sum.
inline double layer_norm_limit(std::span<const float> run, double eps, size_t i, double gain,
                               double bias) {
    const auto n = static_cast<double>(run.size());
    double mean = 0.0, size = 0.0, square = 0.0;
    for (const float x : run) mean += x / n, size += std::fabs(x) / n;
    for (const float x : run) square += (x - mean) * (x - mean) / n;
    const double slope = std::fabs(gain) / std::sqrt(square + eps);
    const double of_mean = (2.0 + std::sqrt(n) / 4.0) * size + std::fabs(run[i]);
    return kEps * (slope * (of_mean + 16.0 * std::fabs(run[i] - mean)) + std::fabs(bias));
}
// Two products and a sum.
inline double rope_limit(double a, double b) {
    return 2.0 * kEps * (std::fabs(a) + std::fabs(b));
}
// exp within two units of the last place, then a sum, a quotient and a product. Where exp(-gate)
// would overflow it may stop at the largest finite number instead. The exponents of both GELUs are
// rounded, which moves the exponential by as many units as they are large; one of them has a
// polynomial of 11 terms.
inline double activation_limit(kernels::Activation activation, double result, double gate,
                               double up) {
    double units = 8.0;
    if (activation == kernels::Activation::GeluTanh) {
        units += 2.0 * std::min(88.0, 1.6 * std::fabs(gate) * (1.0 + 0.045 * gate * gate));
    }
    if (activation == kernels::Activation::Gelu) units += 8.0 + std::min(88.0, gate * gate);
    return units * kEps * std::fabs(result) +
           2.0 * std::numeric_limits<float>::min() * std::fabs(gate * up);
}
inline constexpr std::array kActivations = {kernels::Activation::Silu,
                                            kernels::Activation::GeluTanh,
                                            kernels::Activation::Gelu, kernels::Activation::Relu};
// Weighted mean of n_positions values no larger than max_value; a score is wrong by a dot product's
// error, which moves its weight by the same relative amount, numerator and denominator alike. Each
// addition of subnormal products may lose a unit of the smallest number.
inline double attention_limit(int64_t n_positions, int64_t head_dim, double score_norm,
                              double max_value) {
    const double score_error = dot_limit(head_dim, score_norm) + 4.0 * kEps * score_norm;
    const auto n = static_cast<double>(n_positions);
    return max_value * (2.0 * score_error + (8.0 + std::sqrt(n)) * kEps) +
           n * std::numeric_limits<float>::denorm_min();
}

}  // namespace quarot::backend_test
