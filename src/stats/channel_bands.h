// How the values of every channel are spread: the bands of the paper's Figure 1.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/thread_pool.h"
#include "stats/log_histogram.h"

namespace quarot::stats {

// [channels] each. min and max are exact, the percentiles those of LogHistogram.
struct Bands {
    std::vector<float> min, p1, p25, p75, p99, max;
};

// Holds about 900 bytes a channel, however many rows there are. Used by one thread.
class ChannelBands {
  public:
    explicit ChannelBands(int64_t n_channels) : channels_(static_cast<size_t>(n_channels)) {}

    // values: [n_rows, channels], finite; fewer than 2^32 rows together.
    void add(std::span<const float> values, ThreadPool& pool);

    Bands bands() const;
    // The median of |x| over all channels, within 1/8 of it.
    double median_abs() const;

  private:
    struct Channel {
        float min = 0.0f, max = 0.0f;
        LogHistogram<uint32_t> values;
    };
    std::vector<Channel> channels_;
    int64_t n_rows_ = 0;
};

}  // namespace quarot::stats
