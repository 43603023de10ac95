// What a linear layer means: exact integer sums where both sides are quantized, double sums of fp32
// products otherwise.
#pragma once

#include "core/thread_pool.h"
#include "kernels/ops.h"

namespace quarot::kernels {

void reference_linear(ThreadPool& pool, const LinearArgs& args);

}  // namespace quarot::kernels
