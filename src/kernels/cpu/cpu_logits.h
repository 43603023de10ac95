// Looks at logits: log-probabilities, the largest, and how far two models' distributions differ.
#pragma once

#include "kernels/cpu/cpu_context.h"
#include "kernels/ops.h"

namespace quarot::kernels::cpu {

void log_probabilities(CpuContext& context, const LogProbabilityArgs& args);
void top_k(CpuContext& context, const TopKArgs& args);
void divergence(CpuContext& context, const DivergenceArgs& args);

}  // namespace quarot::kernels::cpu
