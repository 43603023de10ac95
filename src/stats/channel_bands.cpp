#include "stats/channel_bands.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/check.h"
#include "core/checked_math.h"

namespace quarot::stats {
namespace {

constexpr int64_t kStripe = 16;  // channels of a task: a line of memory, and histograms of 14 KiB

// A percentile never lies outside of what was seen.
float percentile(const LogHistogram<uint32_t>& values, double share, float min, float max) {
    return std::clamp(static_cast<float>(values.quantile(share)), min, max);
}

}  // namespace

void ChannelBands::add(std::span<const float> values, ThreadPool& pool) {
    const auto n_channels = std::ssize(channels_);
    const int64_t n_rows = std::ssize(values) / n_channels;
    QUAROT_CHECK(n_rows * n_channels == std::ssize(values), "{} {}", values.size(), n_channels);
    QUAROT_CHECK(n_rows_ + n_rows <= std::numeric_limits<uint32_t>::max(), "{}", n_rows_);
    pool.parallel_for(ceil_div(n_channels, kStripe), [&](int64_t stripe, int) {
        const int64_t first = stripe * kStripe, end = std::min(first + kStripe, n_channels);
        for (int64_t row = 0; row < n_rows; ++row) {
            const float* x = values.data() + row * n_channels;
            for (int64_t c = first; c < end; ++c) {
                Channel& channel = channels_[static_cast<size_t>(c)];
                const bool is_first = n_rows_ + row == 0;
                channel.min = is_first ? x[c] : std::min(channel.min, x[c]);
                channel.max = is_first ? x[c] : std::max(channel.max, x[c]);
                channel.values.add(x[c]);
            }
        }
    });
    n_rows_ += n_rows;
}

Bands ChannelBands::bands() const {
    Bands bands;
    for (const Channel& channel : channels_) {
        const auto at = [&](double share) {
            return percentile(channel.values, share, channel.min, channel.max);
        };
        bands.min.push_back(channel.min);
        bands.p1.push_back(at(0.01));
        bands.p25.push_back(at(0.25));
        bands.p75.push_back(at(0.75));
        bands.p99.push_back(at(0.99));
        bands.max.push_back(channel.max);
    }
    return bands;
}

double ChannelBands::median_abs() const {
    LogHistogram<uint64_t, kAllOctaves> magnitudes;
    for (const Channel& channel : channels_) magnitudes.add_magnitudes(channel.values);
    return magnitudes.quantile(0.5);
}

}  // namespace quarot::stats
