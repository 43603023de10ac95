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
    Bands bands;

    // Empty if the median is 0.
    std::optional<double> max_to_median() const;
};

// Sums over rows, which depend on their order but not on the number of threads. Used by one thread.
class Statistics {
  public:
    explicit Statistics(int64_t n_channels) : n_channels_(n_channels), bands_(n_channels) {}

    // values: [n_rows, channels], finite. squared_error: of all of them, if they were quantized.
    void add(std::span<const float> values, std::optional<double> squared_error, ThreadPool& pool);
    Summary summary() const;

  private:
    double n_values() const;
    std::optional<double> kurtosis() const;
    std::optional<double> sqnr_db() const;

    int64_t n_channels_, n_rows_ = 0;
    double x1_ = 0.0, x2_ = 0.0, x3_ = 0.0, x4_ = 0.0;  // sums of powers
    double squared_error_ = 0.0;
    bool is_quantized_ = false;
    ChannelBands bands_;
    LogHistogram<uint64_t> ratios_;
    double ratio_sum_ = 0.0, ratio_max_ = 0.0;
    int64_t n_ratios_ = 0;
};

}  // namespace quarot::stats
