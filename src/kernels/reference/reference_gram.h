// What the sum of outer products of rows means: exact products, summed in order of rows in fp64.
#pragma once

#include "core/thread_pool.h"
#include "kernels/ops.h"

namespace quarot::kernels {

void reference_gram(ThreadPool& pool, const Rows& in, double* gram);
void reference_cross_gram(ThreadPool& pool, const Rows& a, const Rows& b, double* gram);

}  // namespace quarot::kernels
