#include "quantize/rounding/power_error.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <vector>

namespace quarot::quantize {
namespace {

constexpr size_t kBlock = 128;  // weights between two looks at the limit
constexpr size_t kLanes = 16;   // sums side by side, the same for every instruction set

// One step of third order towards y^(-1/5): with h = 1 - y r^5, r (1 - h)^(-1/5) by its series.
[[gnu::always_inline]] inline float refine_fifth_root(float y, float r) {
    const float r2 = r * r;
    const float h = 1.0f - (y * r) * (r2 * r2);
    return r + r * (h * (0.2f + 0.12f * h));
}

// |e|^2.4 = y^2 r^4 with y = e^2, r = y^(-1/5). The bits of a float are nearly its logarithm, so
// bits / -5 start r within 4 %; two steps bring it to the last bits of fp32. 0 gives 0.
[[gnu::always_inline]] inline float power_2_4(float e) {
    constexpr float kStart = 1.2f * 126.955f * 8388608.0f;
    const float y = e * e;
    const auto exponent_bits = static_cast<float>(std::bit_cast<int32_t>(y));
    float r = std::bit_cast<float>(static_cast<int32_t>(kStart - 0.2f * exponent_bits));
    r = refine_fifth_root(y, r);
    r = refine_fifth_root(y, r);
    const float root = y * (r * r);
    return root * root;
}

// Plain arithmetic that compilers turn into vector code of any width with equal results. Adding
// 1.5 * 2^23 rounds half to even without the rounding instruction that the oldest machines lack;
// clamping first is the same as clamping the rounded value, the limits being integers.
[[gnu::always_inline]] inline void power_loop(std::span<const float> w, const Grid& grid,
                                              float unit, float* errors) {
    constexpr float kRounder = 12582912.0f;
    const Grid g = grid;
    const float* values = w.data();
    const size_t n = w.size();
    for (size_t i = 0; i < n; ++i) {
        float q = values[i] / g.scale;
        q = q < g.low ? g.low : q;
        q = q > g.high ? g.high : q;
        q = (q + kRounder) - kRounder;
        errors[i] = power_2_4((g.scale * q - values[i]) * unit);
    }
}

void power_plain(std::span<const float> w, const Grid& grid, float unit, float* errors) {
    power_loop(w, grid, unit, errors);
}

#if defined(__x86_64__)
[[gnu::target("avx2")]] void power_avx2(std::span<const float> w, const Grid& grid, float unit,
                                        float* errors) {
    power_loop(w, grid, unit, errors);
}

[[gnu::target("avx512f")]] void power_avx512(std::span<const float> w, const Grid& grid, float unit,
                                             float* errors) {
    power_loop(w, grid, unit, errors);
}
#endif

std::vector<PowerVariant> find_variants() {
    std::vector<PowerVariant> variants = {{"plain", power_plain}};
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2")) variants.push_back({"avx2", power_avx2});
    if (__builtin_cpu_supports("avx512f")) variants.push_back({"avx512f", power_avx512});
#endif
    return variants;
}

float sum_in_lanes(const std::array<float, kBlock>& errors) {
    std::array<float, kLanes> lanes{};
    for (size_t i = 0; i < kBlock; i += kLanes) {
        for (size_t lane = 0; lane < kLanes; ++lane) lanes[lane] += errors[i + lane];
    }
    for (size_t half = kLanes / 2; half > 0; half /= 2) {
        for (size_t lane = 0; lane < half; ++lane) lanes[lane] += lanes[lane + half];
    }
    return lanes[0];
}

}  // namespace

std::span<const PowerVariant> power_variants() {
    static const std::vector<PowerVariant> variants = find_variants();
    return variants;
}

double power_error(std::span<const float> w, const Grid& grid, float unit, double limit) {
    static const PowerKernel kernel = power_variants().back().run;
    double sum = 0.0;
    alignas(64) std::array<float, kBlock> errors;
    for (size_t first = 0; first < w.size() && sum <= limit; first += kBlock) {
        const size_t count = std::min(kBlock, w.size() - first);
        kernel(w.subspan(first, count), grid, unit, errors.data());
        std::fill(errors.begin() + static_cast<std::ptrdiff_t>(count), errors.end(), 0.0f);
        sum += static_cast<double>(sum_in_lanes(errors));
    }
    return sum;
}

}  // namespace quarot::quantize
