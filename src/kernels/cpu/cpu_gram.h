// Sums of outer products of rows: what Hessians for quantizing weights are made of.
#pragma once

#include "kernels/cpu/cpu_context.h"
#include "kernels/ops.h"

namespace quarot::kernels::cpu {

// gram += in^T in, as Backend::accumulate_gram.
void add_gram(CpuContext& context, const Rows& in, double* gram);
// gram += a^T b, as Backend::accumulate_cross_gram.
void add_cross_gram(CpuContext& context, const Rows& a, const Rows& b, double* gram);

}  // namespace quarot::kernels::cpu
