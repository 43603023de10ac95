#include "stats/statistics.h"

#include <algorithm>
#include <cmath>

#include "core/check.h"

namespace quarot::stats {
namespace {

struct RowSums {
    double x1 = 0.0, x2 = 0.0, x3 = 0.0, x4 = 0.0;
    double max_abs = 0.0;
};

RowSums sums_of(std::span<const float> row) {
    RowSums sums;
    for (const float value : row) {
        const double x = value, square = x * x;
        sums.x1 += x;
        sums.x2 += square;
        sums.x3 += square * x;
        sums.x4 += square * square;
        sums.max_abs = std::max(sums.max_abs, std::fabs(x));
    }
    return sums;
}

}  // namespace

std::optional<double> Summary::max_to_median() const {
    if (median_abs == 0.0) return std::nullopt;
    return max_abs / median_abs;
}

void Statistics::add(std::span<const float> values, std::optional<double> squared_error,
                     ThreadPool& pool) {
    const int64_t n_rows = std::ssize(values) / n_channels_;
    QUAROT_CHECK(n_rows * n_channels_ == std::ssize(values), "{} {}", values.size(), n_channels_);
    std::vector<RowSums> rows(static_cast<size_t>(n_rows));
    const auto width = static_cast<size_t>(n_channels_);
    pool.parallel_for(n_rows, [&](int64_t row, int) {
        const auto index = static_cast<size_t>(row);
        rows[index] = sums_of(values.subspan(index * width, width));
    });
    for (const RowSums& row : rows) {
        x1_ += row.x1;
        x2_ += row.x2;
        x3_ += row.x3;
        x4_ += row.x4;
        if (row.max_abs == 0.0) continue;
        const double ratio = row.max_abs / std::sqrt(row.x2 / static_cast<double>(n_channels_));
        ratios_.add(static_cast<float>(ratio));
        ratio_sum_ += ratio;
        ratio_max_ = std::max(ratio_max_, ratio);
        ++n_ratios_;
    }
    bands_.add(values, pool);
    n_rows_ += n_rows;
    if (!squared_error) return;
    is_quantized_ = true;
    squared_error_ += *squared_error;
}

double Statistics::n_values() const {
    return static_cast<double>(n_rows_) * static_cast<double>(n_channels_);
}

std::optional<double> Statistics::kurtosis() const {
    const double n = n_values();
    const double mean = x1_ / n, m2 = x2_ / n, m3 = x3_ / n, m4 = x4_ / n;
    const double variance = m2 - mean * mean;
    constexpr double kRounding = 1e-12;  // of the mean square, below which there is no variance
    if (!(variance > kRounding * m2)) return std::nullopt;
    const double fourth = m4 - 4 * mean * m3 + 6 * mean * mean * m2 - 3 * std::pow(mean, 4);
    return fourth / (variance * variance);
}

std::optional<double> Statistics::sqnr_db() const {
    if (!is_quantized_ || squared_error_ == 0.0 || x2_ == 0.0) return std::nullopt;
    return 10.0 * std::log10(x2_ / squared_error_);
}

Summary Statistics::summary() const {
    QUAROT_CHECK(n_rows_ > 0);
    Summary summary;
    summary.n_rows = n_rows_;
    summary.rms = std::sqrt(x2_ / n_values());
    summary.max_abs = bands_.max_abs();
    summary.median_abs = bands_.median_abs();
    summary.kurtosis = kurtosis();
    if (n_ratios_ > 0) {
        summary.peak_ratio = {.mean = ratio_sum_ / static_cast<double>(n_ratios_),
                              .median = std::min(ratios_.quantile(0.5), ratio_max_),
                              .p99 = std::min(ratios_.quantile(0.99), ratio_max_),
                              .max = ratio_max_};
    }
    summary.sqnr_db = sqnr_db();
    summary.bands = bands_.bands();
    return summary;
}

}  // namespace quarot::stats
