// How long will a job take on this machine?
#pragma once

#include "folder/source_model.h"
#include "quantize/quantize_model.h"

namespace quarot::quantize {

// Counts the operations and divides them by speeds that are measured now, in about a quarter of a
// second. Meant to be right within a factor of two. The options must be such as plan_job
// finds nothing wrong with, but for calibration, which counts as the recipe wants it if absent.
// n_finished: layers whose codes are there already; a calibration text still passes through them.
double estimate_seconds(const folder::SourceModel& source, const QuantizeOptions& options,
                        int64_t n_finished = 0);

}  // namespace quarot::quantize
