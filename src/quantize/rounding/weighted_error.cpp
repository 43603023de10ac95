#include "quantize/rounding/weighted_error.h"

#include <algorithm>
#include <array>
#include <vector>

namespace quarot::quantize {
namespace {

constexpr size_t kWeights = 128;  // between two looks at the limit
constexpr size_t kSums = 8;       // side by side, the same for every instruction set

// Rounds as power_loop does.
[[gnu::always_inline]] inline void weighted_loop(std::span<const float> w, const double* importance,
                                                 const Grid& grid, double* errors) {
    constexpr float kRounder = 12582912.0f;
    const Grid g = grid;
    const float* values = w.data();
    const size_t n = w.size();
    for (size_t i = 0; i < n; ++i) {
        float q = values[i] / g.scale;
        q = q < g.low ? g.low : q;
        q = q > g.high ? g.high : q;
        q = (q + kRounder) - kRounder;
        const double e =
            static_cast<double>(g.scale) * static_cast<double>(q) - static_cast<double>(values[i]);
        errors[i] = importance[i] * (e * e);
    }
}

void weighted_plain(std::span<const float> w, const double* importance, const Grid& grid,
                    double* errors) {
    weighted_loop(w, importance, grid, errors);
}

#if defined(__x86_64__)
[[gnu::target("avx2")]] void weighted_avx2(std::span<const float> w, const double* importance,
                                           const Grid& grid, double* errors) {
    weighted_loop(w, importance, grid, errors);
}

[[gnu::target("avx512f")]] void weighted_avx512(std::span<const float> w, const double* importance,
                                                const Grid& grid, double* errors) {
    weighted_loop(w, importance, grid, errors);
}
#endif

std::vector<WeightedVariant> find_weighted_variants() {
    std::vector<WeightedVariant> variants = {{"plain", weighted_plain}};
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2")) variants.push_back({"avx2", weighted_avx2});
    if (__builtin_cpu_supports("avx512f")) variants.push_back({"avx512f", weighted_avx512});
#endif
    return variants;
}

double sum_side_by_side(const std::array<double, kWeights>& errors) {
    std::array<double, kSums> sums{};
    for (size_t i = 0; i < kWeights; i += kSums) {
        for (size_t k = 0; k < kSums; ++k) sums[k] += errors[i + k];
    }
    for (size_t half = kSums / 2; half > 0; half /= 2) {
        for (size_t k = 0; k < half; ++k) sums[k] += sums[k + half];
    }
    return sums[0];
}

}  // namespace

std::span<const WeightedVariant> weighted_variants() {
    static const std::vector<WeightedVariant> variants = find_weighted_variants();
    return variants;
}

double weighted_error(std::span<const float> w, std::span<const double> importance,
                      const Grid& grid, double limit) {
    static const WeightedKernel kernel = weighted_variants().back().run;
    double sum = 0.0;
    alignas(64) std::array<double, kWeights> errors;
    for (size_t first = 0; first < w.size() && sum <= limit; first += kWeights) {
        const size_t count = std::min(kWeights, w.size() - first);
        kernel(w.subspan(first, count), importance.data() + first, grid, errors.data());
        std::fill(errors.begin() + static_cast<std::ptrdiff_t>(count), errors.end(), 0.0);
        sum += sum_side_by_side(errors);
    }
    return sum;
}

}  // namespace quarot::quantize
