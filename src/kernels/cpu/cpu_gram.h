// The sum of outer products of rows: what a Hessian for quantizing weights is made of.
#pragma once

#include "kernels/cpu/cpu_context.h"
#include "kernels/ops.h"

namespace quarot::kernels::cpu {

// gram += in^T in, as Backend::accumulate_gram.
void add_gram(CpuContext& context, const Rows& in, double* gram);

}  // namespace quarot::kernels::cpu
