// What quantizing activations means: range, scale, zero point and code of every group of a row.
#pragma once

#include "core/thread_pool.h"
#include "kernels/ops.h"

namespace quarot::kernels {

// A group that holds a NaN or Inf gets codes 0, scale 1 and offset or base 0, and its row is noted.
void reference_quantize(ThreadPool& pool, const Rows& in, const QuantizedRows& out, SiteNote note);

}  // namespace quarot::kernels
