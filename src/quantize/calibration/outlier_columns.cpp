#include "quantize/calibration/outlier_columns.h"

#include <algorithm>
#include <numeric>

namespace quarot::quantize {

std::vector<float> ColumnOrder::of_rows(std::span<const float> values) const {
    const size_t n = columns.size();
    std::vector<float> ordered(values.size());
    for (size_t i = 0; i < values.size(); ++i) {
        ordered[i] = values[i / n * n + static_cast<size_t>(columns[i % n])];
    }
    return ordered;
}

std::vector<double> ColumnOrder::of_square(std::span<const double> matrix) const {
    const size_t n = columns.size();
    std::vector<double> ordered(matrix.size());
    for (size_t row = 0; row < n; ++row) {
        const double* from = matrix.data() + static_cast<size_t>(columns[row]) * n;
        for (size_t c = 0; c < n; ++c) {
            ordered[row * n + c] = from[static_cast<size_t>(columns[c])];
        }
    }
    return ordered;
}

std::vector<int32_t> order_columns(std::span<const double> measures, int64_t n_outliers,
                                   bool sorted) {
    std::vector<int32_t> columns(measures.size());
    std::iota(columns.begin(), columns.end(), 0);
    std::sort(columns.begin(), columns.end(), [&](int32_t a, int32_t b) {
        const double x = measures[static_cast<size_t>(a)], y = measures[static_cast<size_t>(b)];
        return x != y ? x < y : a < b;
    });
    if (sorted) return columns;
    const auto border = columns.end() - n_outliers;
    std::sort(columns.begin(), border);
    std::sort(border, columns.end());
    return columns;
}

}  // namespace quarot::quantize
