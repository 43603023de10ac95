#include "stats/statistics.h"

#include <algorithm>
#include <cmath>

#include "core/check.h"

namespace quarot::stats {

std::optional<double> Summary::max_to_median() const {
    if (median_abs == 0.0) return std::nullopt;
    return max_abs / median_abs;
}

Statistics::Sums& Statistics::Sums::operator+=(const Sums& other) {
    n += other.n;
    x1 += other.x1;
    x2 += other.x2;
    x3 += other.x3;
    x4 += other.x4;
    squared_error += other.squared_error;
    max_abs = std::max(max_abs, other.max_abs);
    return *this;
}

std::optional<double> Statistics::Sums::kurtosis() const {
    const double mean = x1 / n, m2 = x2 / n, m3 = x3 / n, m4 = x4 / n;
    const double variance = m2 - mean * mean;
    constexpr double kRounding = 1e-12;  // of the mean square, below which there is no variance
    if (!(variance > kRounding * m2)) return std::nullopt;
    const double fourth = m4 - 4 * mean * m3 + 6 * mean * mean * m2 - 3 * std::pow(mean, 4);
    return fourth / (variance * variance);
}

std::optional<double> Statistics::Sums::sqnr_db() const {
    if (squared_error == 0.0 || x2 == 0.0) return std::nullopt;
    return 10.0 * std::log10(x2 / squared_error);
}

void Statistics::Mean::add(std::optional<double> value) {
    if (!value) return;
    sum += *value;
    ++n;
}

std::optional<double> Statistics::Mean::value() const {
    if (n == 0) return std::nullopt;
    return sum / static_cast<double>(n);
}

Statistics::Sums Statistics::sums_of(std::span<const float> row) {
    Sums sums;
    sums.n = static_cast<double>(row.size());
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

void Statistics::add(std::span<const float> values, std::span<const double> squared_errors,
                     ThreadPool& pool) {
    const int64_t n_rows = std::ssize(values) / n_channels_;
    QUAROT_CHECK(n_rows * n_channels_ == std::ssize(values), "{} {}", values.size(), n_channels_);
    QUAROT_CHECK(squared_errors.empty() || std::ssize(squared_errors) == n_rows);
    std::vector<Sums> rows(static_cast<size_t>(n_rows));
    const auto width = static_cast<size_t>(n_channels_);
    pool.parallel_for(n_rows, [&](int64_t row, int) {
        const auto index = static_cast<size_t>(row);
        rows[index] = sums_of(values.subspan(index * width, width));
        if (!squared_errors.empty()) rows[index].squared_error = squared_errors[index];
    });
    for (const Sums& row : rows) add_row(row);
    bands_.add(values, pool);
    n_rows_ += n_rows;
}

void Statistics::add_row(const Sums& row) {
    all_ += row;
    row_kurtosis_.add(row.kurtosis());
    row_sqnr_.add(row.sqnr_db());
    if (row.max_abs == 0.0) return;
    const double ratio = row.max_abs / std::sqrt(row.x2 / row.n);
    peak_ratio_.add(ratio);
    peak_ratios_.add(static_cast<float>(ratio));
    largest_ratio_ = std::max(largest_ratio_, ratio);
}

Summary Statistics::summary() const {
    QUAROT_CHECK(n_rows_ > 0);
    Summary summary;
    summary.n_rows = n_rows_;
    summary.rms = std::sqrt(all_.x2 / all_.n);
    summary.max_abs = all_.max_abs;
    summary.median_abs = bands_.median_abs();
    summary.kurtosis = all_.kurtosis();
    summary.sqnr_db = all_.sqnr_db();
    summary.row_kurtosis = row_kurtosis_.value();
    summary.row_sqnr_db = row_sqnr_.value();
    summary.peak_ratio = {.mean = peak_ratio_.value().value_or(0.0),
                          .median = std::min(peak_ratios_.quantile(0.5), largest_ratio_),
                          .p99 = std::min(peak_ratios_.quantile(0.99), largest_ratio_),
                          .max = largest_ratio_};
    summary.bands = bands_.bands();
    return summary;
}

}  // namespace quarot::stats
