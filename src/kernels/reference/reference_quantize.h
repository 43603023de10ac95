// What quantizing activations means: range, scale, zero point and code of every group of a row.
#pragma once

#include "core/thread_pool.h"
#include "kernels/ops.h"

namespace quarot::kernels {

// False: some group held a NaN or Inf; such a group has codes 0, scale 1 and offset or base 0.
bool reference_quantize(ThreadPool& pool, const Rows& in, const QuantizedRows& out);

}  // namespace quarot::kernels
