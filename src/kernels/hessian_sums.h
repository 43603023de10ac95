// A Hessian as a backend has summed it.
#pragma once

#include <cstdint>

namespace quarot::kernels {

// h = sums / count.
struct HessianSums {
    const double* sums = nullptr;  // [n, n] row-major in the backend's memory, symmetric, finite
    int64_t n = 0;
    double count = 1.0;
};

}  // namespace quarot::kernels
