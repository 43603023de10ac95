// The product of integers whose sums end inside the row: groups on either side, and whole rows
// whose sums do not fit 32 bits.
#pragma once

#include <span>

#include "kernels/cpu/cpu_context.h"
#include "kernels/ops.h"

namespace quarot::kernels::cpu {

// outs[i] = in weights[i]^T + bias (+ outs[i]); all weights are quantized in groups of one size.
void multiply_grouped(CpuContext& context, const QuantizedRows& in,
                      std::span<const Linear* const> weights, std::span<const Rows> outs,
                      bool accumulate);

// Sums over `n_inputs` inputs of one segment may leave 32 bits.
bool needs_wide_sums(const ActivationFormat& format, int64_t largest_weight, int64_t n_inputs);

}  // namespace quarot::kernels::cpu
