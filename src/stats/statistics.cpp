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
    if (other.n == 0.0) return *this;
    const double a = n, b = other.n, both = a + b, step = other.mean - mean;
    const double step2 = step * step, share_a = a / both, share_b = b / both;
    fourth +=
        other.fourth +
        step2 * step2 * a * share_b * (share_a * share_a - share_a * share_b + share_b * share_b) +
        6 * step2 * (share_a * share_a * other.second + share_b * share_b * second) +
        4 * step * (share_a * other.third - share_b * third);
    third += other.third + step2 * step * a * share_b * (share_a - share_b) +
             3 * step * (share_a * other.second - share_b * second);
    second += other.second + step2 * a * share_b;
    mean += step * share_b;
    n = both;
    squares += other.squares;
    squared_error += other.squared_error;
    max_abs = std::max(max_abs, other.max_abs);
    return *this;
}

std::optional<double> Statistics::Sums::kurtosis() const {
    // Of the squares: less is what rounding a mean in fp64 leaves of equal values, and fp32 numbers
    // that differ give more.
    constexpr double kRounding = 1e-20;
    if (!(second > kRounding * squares)) return std::nullopt;
    return n * fourth / (second * second);
}

std::optional<double> Statistics::Sums::sqnr_db() const {
    if (squared_error == 0.0 || squares == 0.0) return std::nullopt;
    return 10.0 * std::log10(squares / squared_error);
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
    for (const float value : row) sums.mean += double{value};
    sums.mean /= sums.n;
    for (const float value : row) {
        const double x = value, distance = x - sums.mean, square = distance * distance;
        sums.second += square;
        sums.third += square * distance;
        sums.fourth += square * square;
        sums.squares += x * x;
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
    const double ratio = row.max_abs / std::sqrt(row.squares / row.n);
    peak_ratio_.add(ratio);
    peak_ratios_.add(static_cast<float>(ratio));
    largest_ratio_ = std::max(largest_ratio_, ratio);
}

Summary Statistics::summary() const {
    QUAROT_CHECK(n_rows_ > 0);
    Summary summary;
    summary.n_rows = n_rows_;
    summary.rms = std::sqrt(all_.squares / all_.n);
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
