// A block takes a run of columns of one row after another, a thread one column.
#include <algorithm>

#include "core/checked_math.h"
#include "kernels/cuda/device/griddep.cuh"
#include "kernels/cuda/hessian_copy.h"
#include "kernels/cuda/launch.cuh"

namespace quarot::kernels::cuda {

namespace {

constexpr int kThreads = 256;
constexpr int64_t kMostBlocks = 4096;  // along the rows

LaunchShape shape_of(int64_t n) {
    const int64_t columns = ceil_div(n, int64_t{kThreads}), rows = std::min(n, kMostBlocks);
    return {.grid = {static_cast<unsigned>(columns), static_cast<unsigned>(rows)},
            .block = kThreads};
}

__global__ void __launch_bounds__(kThreads)
    copy_in_order(const __grid_constant__ HessianSums h, const __grid_constant__ SolveOrder to,
                  double* out) {
    let_successor_start();
    wait_for_predecessor();
    const int64_t j = int64_t{blockIdx.x} * kThreads + threadIdx.x;
    if (j >= h.n) return;
    const int64_t column = to.order[j];
    for (int64_t i = blockIdx.y; i < h.n; i += gridDim.y) {
        const double value = h.sums[to.order[i] * h.n + column] / h.count;
        out[i * h.n + j] = i == j ? to.diagonal[i] : value;
    }
}

__global__ void __launch_bounds__(kThreads)
    round_sums(const __grid_constant__ HessianSums h, float* out) {
    let_successor_start();
    wait_for_predecessor();
    const int64_t j = int64_t{blockIdx.x} * kThreads + threadIdx.x;
    if (j >= h.n) return;
    for (int64_t i = blockIdx.y; i < h.n; i += gridDim.y) {
        out[i * h.n + j] = static_cast<float>(h.sums[i * h.n + j] / h.count);
    }
}

}  // namespace

void copy_damped(const HessianSums& hessian, const SolveOrder& order, double* out, Stream stream) {
    if (hessian.n == 0) return;
    launch("copy_in_order", copy_in_order, shape_of(hessian.n), stream, hessian, order, out);
}

void round_hessian(const HessianSums& hessian, float* out, Stream stream) {
    if (hessian.n == 0) return;
    launch("round_sums", round_sums, shape_of(hessian.n), stream, hessian, out);
}

}  // namespace quarot::kernels::cuda
