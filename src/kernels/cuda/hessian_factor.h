// The triangular factor of an inverse Hessian, on the device.
#pragma once

#include <cstdint>

#include "kernels/cuda/stream.h"

namespace quarot::kernels::cuda {

// All in device memory.
struct HessianFactor {
    // [n, n] row-major. Before: symmetric; only the lower triangle is read. After: the upper
    // triangle is U, positive on its diagonal, with h^-1 = U^T U; below is anything.
    double* h = nullptr;
    int64_t n = 0;
    double* workspace = nullptr;  // [factor_workspace(n)]
    int32_t* failed = nullptr;    // becomes 1 where h is not positive definite; then h is undefined
};

// Numbers of the workspace.
int64_t factor_workspace(int64_t n);

// Only enqueues. 2/3 n^3 fp64 operations in an order that n alone decides.
void factor(const HessianFactor& factor, Stream stream);

}  // namespace quarot::kernels::cuda
