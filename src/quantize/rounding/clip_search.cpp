#include "quantize/rounding/clip_search.h"

#include <cmath>
#include <limits>

#include "core/error.h"
#include "quantize/rounding/power_error.h"
#include "quantize/rounding/weighted_error.h"
#include "tensor/affine.h"
#include "tensor/float_convert.h"

namespace quarot::quantize {
namespace {

constexpr float kSmallestRange = 1e-5f;
constexpr int kSteps = 100;      // of the whole range
constexpr int kCandidates = 80;  // the widest ones

// low <= 0 <= high
struct Range {
    float low = 0.0f;
    float high = 0.0f;
};

Range range_of(std::span<const float> w) {
    Range range;
    for (const float value : w) {
        range.low = std::min(range.low, value);
        range.high = std::max(range.high, value);
    }
    return range;
}

float as_stored(float scale, DType dtype) {
    if (dtype == DType::F32) return at_least_smallest_normal(scale);
    constexpr float kSmallestHalf = 0x1p-14f;
    const float half = f16_to_f32(f32_to_f16(std::max(scale, kSmallestHalf)));
    if (!std::isfinite(half)) {
        fail(ErrorCode::Numeric, "weights need the scale {}, which is more than an F16 holds",
             scale);
    }
    return half;
}

Grid symmetric_grid(Range range, float share, const GridFormat& format) {
    const auto top = static_cast<float>(symmetric_max(format.bits));
    const float largest = std::max({-range.low, range.high, kSmallestRange});
    return {as_stored(largest * share / top, format.scale), -top - 1.0f, top};
}

// (high - low) / top, also where the difference is more than a float holds.
float range_step(float low, float high, float top) {
    const float width = high - low;
    return std::isfinite(width) ? std::max(width, kSmallestRange) / top : high / top - low / top;
}

Grid asymmetric_grid(Range range, float share, const GridFormat& format) {
    const auto top = static_cast<float>(asymmetric_max(format.bits));
    if (range.low == 0.0f && range.high == 0.0f) range = {-1.0f, 1.0f};
    const float low = range.low * share;
    const float high = range.high * share;
    const float scale = as_stored(range_step(low, high, top), format.scale);
    const float zero = std::clamp(std::nearbyint(-low / scale), 0.0f, top);
    return {scale, -zero, top - zero};
}

// A power of two that brings the weights near 1.
float unit_of(Range range) {
    const float largest = std::max({-range.low, range.high, kSmallestRange});
    return std::ldexp(1.0f, -std::ilogb(largest));
}

}  // namespace

Grid choose_grid(std::span<const float> w, const GridFormat& format,
                 std::span<const double> importance) {
    const auto make = format.symmetric ? symmetric_grid : asymmetric_grid;
    const bool weighted = !importance.empty();
    const Range range = range_of(w);
    Grid best = make(range, 1.0f, format);
    if (!format.clip_search) return best;
    const float unit = unit_of(range);
    double smallest = std::numeric_limits<double>::infinity();
    const auto consider = [&](const Grid& grid) {
        const double error = weighted ? weighted_error(w, importance, grid, smallest)
                                      : power_error(w, grid, unit, smallest);
        if (!(error < smallest)) return;
        smallest = error;
        best = grid;
    };
    for (int i = 0; i < kCandidates; ++i) {
        const auto share = static_cast<float>(1.0 - static_cast<double>(i) / kSteps);
        const Grid grid = make(range, share, format);
        consider(grid);
        if (!weighted || format.symmetric) continue;
        if (grid.low < 0.0f) consider({grid.scale, grid.low + 1.0f, grid.high + 1.0f});
        if (grid.high > 0.0f) consider({grid.scale, grid.low - 1.0f, grid.high - 1.0f});
    }
    return best;
}

}  // namespace quarot::quantize
