// How a mixer acts on vectors: butterflies for the Sylvester factor, then the dense factor.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "core/check.h"
#include "linalg/mixer.h"

namespace quarot::linalg {
namespace {

// Columns held in registers by the dense step, and gathered at once by apply_strided: two cache
// lines of doubles.
constexpr int64_t kLanes = 16;

using Pair [[gnu::vector_size(16)]] = double;

// One stage: values at distance `half` become their sum and their difference.
void butterfly_stage(std::span<double> x, int64_t half) {
    double* data = x.data();
    const auto size = static_cast<int64_t>(x.size());
    for (int64_t start = 0; start < size; start += 2 * half) {
        double* low = data + start;
        double* high = low + half;
        for (int64_t i = 0; i < half; ++i) {
            const double a = low[i];
            const double b = high[i];
            low[i] = a + b;
            high[i] = a - b;
        }
    }
}

// Two stages in one pass over memory; the same sums in the same order.
void butterfly_two_stages(std::span<double> x, int64_t quarter) {
    double* data = x.data();
    const auto size = static_cast<int64_t>(x.size());
    for (int64_t start = 0; start < size; start += 4 * quarter) {
        double* rows = data + start;
        for (int64_t i = 0; i < quarter; ++i) {
            const double a = rows[i];
            const double b = rows[i + quarter];
            const double c = rows[i + 2 * quarter];
            const double d = rows[i + 3 * quarter];
            const double sum_ab = a + b;
            const double difference_ab = a - b;
            const double sum_cd = c + d;
            const double difference_cd = c - d;
            rows[i] = sum_ab + sum_cd;
            rows[i + quarter] = difference_ab + difference_cd;
            rows[i + 2 * quarter] = sum_ab - sum_cd;
            rows[i + 3 * quarter] = difference_ab - difference_cd;
        }
    }
}

// x: blocks of `order` rows of `width` doubles; each block becomes S_order times itself.
void sylvester_in_place(std::span<double> x, int64_t order, int64_t width) {
    int64_t half = width;
    for (; half * 4 <= order * width; half *= 4) butterfly_two_stages(x, half);
    if (half < order * width) butterfly_stage(x, half);
}

// out[lane] = scale * sum over k of factors[k * stride] * columns[k * kLanes + lane], k ascending.
// Spelled in register-sized pieces because GCC 12 keeps an array of sums in memory, which is four
// times slower.
void combine(const double* factors, int64_t stride, const double* columns, int64_t order,
             double scale, double* out) {
    constexpr int64_t kPairs = kLanes / 2;
    Pair sums[kPairs] = {};
    for (int64_t k = 0; k < order; ++k) {
        Pair values[kPairs];
        std::memcpy(values, columns + k * kLanes, sizeof values);
        for (int64_t i = 0; i < kPairs; ++i) sums[i] += factors[k * stride] * values[i];
    }
    for (Pair& sum : sums) sum *= scale;
    std::memcpy(out, sums, sizeof sums);
}

// x: [dense_order, width]. Packs kLanes columns at a time, so results can overwrite x and the
// strides of a power of two never fight for the same cache sets.
void dense_in_place(const Mixer& mixer, std::span<double> x, double scale, bool transpose) {
    const int64_t order = mixer.dense_order;
    const auto width = static_cast<int64_t>(x.size()) / order;
    const int64_t row_step = transpose ? 1 : order;
    const int64_t column_step = transpose ? order : 1;
    std::vector<double> packed(order * kLanes, 0.0);
    double sums[kLanes];
    for (int64_t first = 0; first < width; first += kLanes) {
        const int64_t count = std::min(kLanes, width - first);
        for (int64_t k = 0; k < order; ++k) {
            std::copy_n(&x[k * width + first], count, &packed[k * kLanes]);
        }
        for (int64_t k = 0; k < order; ++k) {
            combine(&mixer.dense[k * row_step], column_step, packed.data(), order, scale, sums);
            std::copy_n(sums, count, &x[k * width + first]);
        }
    }
}

// x: [n, width], every column one vector.
void transform_panel(const Mixer& mixer, std::span<double> x, int64_t width, bool transpose) {
    const double scale = 1.0 / std::sqrt(static_cast<double>(mixer.n));
    sylvester_in_place(x, mixer.sylvester_order(), width);
    if (mixer.dense_order > 1) {
        dense_in_place(mixer, x, scale, transpose);
    } else {
        for (double& value : x) value *= scale;
    }
}

}  // namespace

void apply(const Mixer& mixer, std::span<double> x, bool transpose) {
    QUAROT_CHECK(std::cmp_equal(x.size(), mixer.n), "{} values, n = {}", x.size(), mixer.n);
    if (mixer.kind == MixerKind::Identity) return;
    transform_panel(mixer, x, 1, transpose);
}

void apply_strided(const Mixer& mixer, std::span<double> x, int64_t inner, bool transpose) {
    QUAROT_CHECK(std::cmp_equal(x.size(), mixer.n * inner), "{} values, n = {}, inner = {}",
                 x.size(), mixer.n, inner);
    if (mixer.kind == MixerKind::Identity || inner == 0) return;
    if (inner <= kLanes) return transform_panel(mixer, x, inner, transpose);
    std::vector<double> panel(mixer.n * kLanes);
    for (int64_t first = 0; first < inner; first += kLanes) {
        const int64_t width = std::min(kLanes, inner - first);
        const std::span<double> columns = std::span(panel).first(mixer.n * width);
        for (int64_t i = 0; i < mixer.n; ++i) {
            std::copy_n(&x[i * inner + first], width, &columns[i * width]);
        }
        transform_panel(mixer, columns, width, transpose);
        for (int64_t i = 0; i < mixer.n; ++i) {
            std::copy_n(&columns[i * width], width, &x[i * inner + first]);
        }
    }
}

}  // namespace quarot::linalg
