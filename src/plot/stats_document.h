// What `quarot stats` wrote: how values are spread at the places of a model.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "io/json.h"

namespace quarot::plot {

// [channels] each; min <= p1 <= p25 <= p75 <= p99 <= max as far as they are exact.
struct ChannelBands {
    std::vector<double> min, p1, p25, p75, p99, max;
};

struct Spread {
    double rms = 0.0;
    std::optional<double> kurtosis, max_to_median, sqnr_db;  // of all values
    // Means over tokens, or outputs of a weight.
    std::optional<double> row_kurtosis, row_sqnr_db;
    double mean_peak_ratio = 0.0;  // max/RMS
    ChannelBands bands;
};

// Activations at a point, or a weight.
struct Place {
    std::string name;  // "down_in", "down_proj": letters, digits and '_' only
    std::string what;  // "input of down_proj"; of a weight its name
    bool is_weight = false;
    int64_t layer = 0;
    int64_t bits = 16;
    int64_t n_channels = 0;
    bool gain_folded = false;  // `after` is without the norm's gain that `before` has
    std::optional<Spread> before, after;
};

struct StatsDocument {
    std::string model, recipe, rotation;
    int64_t tokens = 0;
    std::vector<Place> places;  // points, then weights, in the order of the file
};

// Error{Corrupt} naming the place of what is missing, of another kind or there twice.
StatsDocument stats_document(const io::Json& json);

}  // namespace quarot::plot
