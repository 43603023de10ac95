// How long will a job take on this machine?
#pragma once

#include <optional>

#include "quantize/job/prepared_job.h"

namespace quarot::quantize {

// Counts the operations and divides them by speeds that are measured now, in about a quarter of a
// second. Meant to be right within a factor of two. The job must have a plan; calibration
// counts as the recipe wants it if absent. A calibration text passes through finished layers too.
// Empty for a job on a GPU, of which no speeds are measured.
std::optional<double> estimate_seconds(const PreparedJob& job);

}  // namespace quarot::quantize
