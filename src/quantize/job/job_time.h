// How long will a job take on this machine?
#pragma once

#include "folder/source_model.h"
#include "quantize/quantize_model.h"

namespace quarot::quantize {

// Counts the operations and divides them by speeds that are measured now, in about a quarter of a
// second. Meant to be right within a factor of two. The options must be such as plan_job
// finds nothing wrong with, but for calibration, which counts as the recipe wants it if absent.
double estimate_seconds(const folder::SourceModel& source, const QuantizeOptions& options);

}  // namespace quarot::quantize
