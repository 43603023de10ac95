// Reports as JSON: what `quarot stats` writes and `quarot plot` reads.
#pragma once

#include <span>

#include "io/json.h"
#include "stats/activation_statistics.h"
#include "stats/weight_statistics.h"

namespace quarot::stats {

// {"kurtosis": ..., ..., "channels": {"min": [...], ...}}; percentiles with 4 digits, min and max
// with those of fp32.
io::Json to_json(const Summary& summary);

// Adds "percentile_resolution", "points" and "weights" to a document.
void add_reports(io::Json& document, std::span<const PointReport> points,
                 std::span<const WeightReport> weights);

}  // namespace quarot::stats
