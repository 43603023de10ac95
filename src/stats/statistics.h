// What is told about the values at one place of a model: how far they are from what few bits hold.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "core/thread_pool.h"
#include "stats/channel_bands.h"
#include "stats/log_histogram.h"

namespace quarot::stats {

// Over all values, but for what is said of rows (tokens, or outputs of a weight).
struct Summary {
    int64_t n_rows = 0;
    double rms = 0.0;
    double max_abs = 0.0;
    double median_abs = 0.0;         // of |x|, within 1/8
    std::optional<double> kurtosis;  // E (x - mean)^4 / variance^2; 3: normal; empty: a constant
    // max|x| / RMS of a row, over those that are not all zeros.
    struct PeakRatio {
        double mean = 0.0, median = 0.0, p99 = 0.0, max = 0.0;  // median, p99 within 1/8
    } peak_ratio;
    // 10 log10(sum x^2 / sum (x - x^)^2), x^ quantized; empty if nothing was quantized or lost.
    std::optional<double> sqnr_db;
    // Both of each row by itself, and their means over the rows that have them: a few rows of large
    // values do not outweigh the others.
    std::optional<double> row_kurtosis, row_sqnr_db;
    Bands bands;

    // Empty if the median is 0.
    std::optional<double> max_to_median() const;
};

// Sums over rows, which depend on their order but not on the number of threads. Used by one thread.
class Statistics {
  public:
    explicit Statistics(int64_t n_channels) : n_channels_(n_channels), bands_(n_channels) {}

    // values: [n_rows, channels], finite. squared_errors: [n_rows] of what they were quantized to;
    // empty if they were not.
    void add(std::span<const float> values, std::span<const double> squared_errors,
             ThreadPool& pool);
    Summary summary() const;

  private:
    // Sums over values, and over what quantizing changed them by. Powers are those of distances
    // from the mean: sums of powers of the values themselves cancel where the mean is far from 0.
    struct Sums {
        double n = 0.0, mean = 0.0;
        double second = 0.0, third = 0.0, fourth = 0.0;  // sum (x - mean)^2, ^3, ^4
        double squares = 0.0, squared_error = 0.0;       // sum x^2, sum (x - x^)^2
        double max_abs = 0.0;
        // Of both together: P. Pebay, Formulas for robust, one-pass parallel computation of
        // covariances and arbitrary-order statistical.
        Sums& operator+=(const Sums& other);
        std::optional<double> kurtosis() const;
        std::optional<double> sqnr_db() const;
    };
    struct Mean {
        double sum = 0.0;
        int64_t n = 0;
        void add(std::optional<double> value);
        std::optional<double> value() const;
    };
    static Sums sums_of(std::span<const float> row);
    void add_row(const Sums& row);

    int64_t n_channels_, n_rows_ = 0;
    Sums all_;
    Mean row_kurtosis_, row_sqnr_, peak_ratio_;
    ChannelBands bands_;
    LogHistogram<uint64_t> peak_ratios_;
    double largest_ratio_ = 0.0;
};

}  // namespace quarot::stats
