#include "quantize/rounding/power_error.h"

#include <bit>
#include <cstdint>

namespace quarot::quantize {
namespace {

constexpr size_t kLanes = 16;

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

struct PowerLoop {
    [[gnu::always_inline]] static void run(std::span<const float> w, const Grid& grid, float unit,
                                           float* errors) {
        const Grid g = grid;
        const float* values = w.data();
        const size_t n = w.size();
        for (size_t i = 0; i < n; ++i) {
            errors[i] = power_2_4((g.scale * nearest_code(values[i], g) - values[i]) * unit);
        }
    }
};

}  // namespace

std::span<const PowerVariant> power_variants() {
    static const auto variants = CompiledLoop<PowerLoop, PowerKernel>::variants();
    return variants;
}

double power_error(std::span<const float> w, const Grid& grid, float unit, double limit) {
    static const PowerKernel kernel = power_variants().back().run;
    return sum_of_errors<float, kLanes>(w.size(), limit,
                                        [&](size_t first, size_t count, float* errors) {
                                            kernel(w.subspan(first, count), grid, unit, errors);
                                        });
}

}  // namespace quarot::quantize
