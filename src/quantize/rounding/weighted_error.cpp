#include "quantize/rounding/weighted_error.h"

namespace quarot::quantize {
namespace {

constexpr size_t kLanes = 8;

struct WeightedLoop {
    [[gnu::always_inline]] static void run(std::span<const float> w, const double* importance,
                                           const Grid& grid, double* errors) {
        const Grid g = grid;
        const float* values = w.data();
        const size_t n = w.size();
        for (size_t i = 0; i < n; ++i) {
            const double e =
                static_cast<double>(g.scale) * static_cast<double>(nearest_code(values[i], g)) -
                static_cast<double>(values[i]);
            errors[i] = importance[i] * (e * e);
        }
    }
};

}  // namespace

std::span<const WeightedVariant> weighted_variants() {
    static const auto variants = CompiledLoop<WeightedLoop, WeightedKernel>::variants();
    return variants;
}

double weighted_error(std::span<const float> w, std::span<const double> importance,
                      const Grid& grid, double limit) {
    static const WeightedKernel kernel = weighted_variants().back().run;
    return sum_of_errors<double, kLanes>(
        w.size(), limit, [&](size_t first, size_t count, double* errors) {
            kernel(w.subspan(first, count), importance.data() + first, grid, errors);
        });
}

}  // namespace quarot::quantize
