// The table of `quarot stats` for people.
#pragma once

#include <span>
#include <string>

#include "stats/activation_statistics.h"
#include "stats/weight_statistics.h"

namespace quarot::apps {

// A line for each point of each layer, then for each weight.
std::string stats_table(std::span<const stats::PointReport> points,
                        std::span<const stats::WeightReport> weights);

}  // namespace quarot::apps
