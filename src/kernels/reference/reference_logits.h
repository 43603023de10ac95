// What the looks at logits mean, in double.
#pragma once

#include "core/thread_pool.h"
#include "kernels/ops.h"

namespace quarot::kernels {

void reference_log_probabilities(ThreadPool& pool, const LogProbabilityArgs& args);
void reference_top_k(ThreadPool& pool, const TopKArgs& args);
void reference_divergence(ThreadPool& pool, const DivergenceArgs& args);

}  // namespace quarot::kernels
