// The results of one row with several seeds, and what they say together.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "reproduce/measurement.h"
#include "reproduce/zero_shot.h"

namespace quarot::reproduce {

struct SeedResult {
    uint32_t seed = 0;
    Measurement text;
    std::vector<TaskScore> tasks;  // none where no accuracies are asked for
};

// Means over the seeds, of windows one by one; seconds are sums, memory is the most. Without a
// perplexity if one seed has none, and then with its reason. At least one seed.
Measurement together(std::span<const SeedResult> seeds);
// Likewise for each task; a standard error is that of one seed's items, on average.
std::vector<TaskScore> tasks_together(std::span<const SeedResult> seeds);

// Sample standard deviation over the seeds; empty for fewer than two, or where one has no number.
std::optional<double> perplexity_deviation(std::span<const SeedResult> seeds);
std::optional<double> average_deviation(std::span<const SeedResult> seeds);  // of average_percent

}  // namespace quarot::reproduce
