#include "kernels/reference/reference_half_transform.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "tensor/float_convert.h"

namespace quarot::kernels {

namespace {

constexpr double kLargestHalf = 65504.0;

void round_to_half(std::span<double> x) {
    for (double& value : x) {
        const double in_range =
            std::isinf(value) ? value : std::clamp(value, -kLargestHalf, kLargestHalf);
        value = f16_to_f32(f32_to_f16(static_cast<float>(in_range)));
    }
}

// x [order, inner] = S x
void sylvester(std::span<double> x, size_t inner) {
    for (size_t half = inner; half < x.size(); half *= 2) {
        for (size_t i = 0; i < x.size(); ++i) {
            if (i / half % 2 != 0) continue;
            const double a = x[i], b = x[i + half];
            x[i] = a + b;
            x[i + half] = a - b;
        }
    }
}

// x [order, width] = D x
void mix_dense(const linalg::Mixer& mixer, std::span<double> x) {
    const auto order = static_cast<size_t>(mixer.dense_order), width = x.size() / order;
    const std::vector<double> in(x.begin(), x.end());
    std::fill(x.begin(), x.end(), 0.0);
    for (size_t k = 0; k < order; ++k) {
        for (size_t from = 0; from < order; ++from) {
            const double entry = mixer.dense[k * order + from];
            for (size_t j = 0; j < width; ++j) x[k * width + j] += entry * in[from * width + j];
        }
    }
}

}  // namespace

void transform_in_half(const linalg::Mixer& mixer, std::span<double> x, int64_t inner) {
    const auto width = static_cast<size_t>(mixer.sylvester_order() * inner);
    const double scale = 1.0 / std::sqrt(static_cast<double>(mixer.n));
    round_to_half(x);
    for (size_t first = 0; first < x.size(); first += width) {
        sylvester(x.subspan(first, width), static_cast<size_t>(inner));
    }
    for (double& value : x) value *= scale;
    round_to_half(x);
    if (mixer.dense_order == 1) return;
    mix_dense(mixer, x);
    round_to_half(x);
}

}  // namespace quarot::kernels
