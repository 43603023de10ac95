// The sums of outer products from which Hessians are made.
#pragma once

#include "kernels/cuda/rows_view.h"
#include "kernels/cuda/stream.h"

namespace quarot::kernels::cuda {

// gram += in^T in; gram: [cols, cols] fp64, symmetric before and after, bit for bit. Every element
// is one fused chain in fp32 over each 256 rows, counted from the first; these are added in order
// in fp64. The same bits in one call or in calls of whole runs. Only enqueues.
void accumulate_gram(const RowsView& in, double* gram, Stream stream);

}  // namespace quarot::kernels::cuda
