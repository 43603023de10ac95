// Copies of a Hessian's sums, on the device.
#pragma once

#include <cstdint>

#include "kernels/cuda/stream.h"
#include "kernels/hessian_sums.h"

namespace quarot::kernels::cuda {

// All in device memory.
struct SolveOrder {
    const int32_t* order = nullptr;    // [n]: the column at each solve position
    const double* diagonal = nullptr;  // [n] by solve position
};

// out: [n, n] with h of column order[j] in row order[i] at i, j, and the diagonal. Only enqueues.
void copy_damped(const HessianSums& hessian, const SolveOrder& order, double* out, Stream stream);

// out: [n, n], h rounded to nearest even. Only enqueues.
void round_hessian(const HessianSums& hessian, float* out, Stream stream);

}  // namespace quarot::kernels::cuda
