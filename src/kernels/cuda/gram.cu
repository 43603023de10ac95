#include <cuda_runtime.h>

#include "core/checked_math.h"
#include "kernels/cuda/device/griddep.cuh"
#include "kernels/cuda/gram.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/row_access.cuh"

namespace quarot::kernels::cuda {

namespace {

// A block owns kTile x kTile elements of the lower triangle, a thread kSide x kSide of them. Rows
// pass through shared memory kDepth at a time. fp32 products and sums: tensor cores would round
// the inputs to 10 bits.
constexpr int kTile = 64, kSide = 4, kDepth = 16, kRun = 256;
constexpr int kThreads = (kTile / kSide) * (kTile / kSide);

struct Panels {
    float left[kDepth][kTile];
    float right[kDepth][kTile];
};

// Columns first .. first + kTile of kDepth rows; zeros outside.
__device__ void load_panel(const RowsView& in, int64_t row, int64_t first, bool fours,
                           float (&panel)[kDepth][kTile]) {
    const int depth = threadIdx.x / (kTile / 4), column = threadIdx.x % (kTile / 4) * 4;
    static_assert(kThreads == kDepth * kTile / 4);
    float4 x = {0.0f, 0.0f, 0.0f, 0.0f};
    if (row + depth < in.rows && first + column < in.cols) {
        x = load_four(in, row + depth, first + column, fours);
    }
    *reinterpret_cast<float4*>(&panel[depth][column]) = x;
}

__device__ void multiply_panels(const Panels& panels, int i, int j, float (&sums)[kSide][kSide]) {
#pragma unroll
    for (int d = 0; d < kDepth; ++d) {
        const float4 a = *reinterpret_cast<const float4*>(&panels.left[d][i]);
        const float4 b = *reinterpret_cast<const float4*>(&panels.right[d][j]);
        const float left[] = {a.x, a.y, a.z, a.w}, right[] = {b.x, b.y, b.z, b.w};
#pragma unroll
        for (int x = 0; x < kSide; ++x) {
#pragma unroll
            for (int y = 0; y < kSide; ++y) sums[x][y] = fmaf(left[x], right[y], sums[x][y]);
        }
    }
}

// The two halves of the symmetric matrix get the same number.
__device__ void add_element(double* gram, int64_t n, int64_t i, int64_t j, double sum) {
    if (i >= n || j > i) return;
    const double total = gram[i * n + j] + sum;
    gram[i * n + j] = total;
    gram[j * n + i] = total;
}

__global__ void __launch_bounds__(kThreads)
    gram_tile(const __grid_constant__ RowsView in, double* gram, bool fours) {
    __shared__ Panels panels;
    let_successor_start();
    wait_for_predecessor();
    if (blockIdx.x > blockIdx.y) return;
    const int64_t first_i = static_cast<int64_t>(blockIdx.y) * kTile;
    const int64_t first_j = static_cast<int64_t>(blockIdx.x) * kTile;
    const int i = threadIdx.x / (kTile / kSide) * kSide, j = threadIdx.x % (kTile / kSide) * kSide;
    for (int64_t run = 0; run < in.rows; run += kRun) {
        float sums[kSide][kSide] = {};
        for (int64_t row = run; row < min(run + kRun, in.rows); row += kDepth) {
            load_panel(in, row, first_i, fours, panels.left);
            load_panel(in, row, first_j, fours, panels.right);
            __syncthreads();
            multiply_panels(panels, i, j, sums);
            __syncthreads();
        }
#pragma unroll
        for (int x = 0; x < kSide; ++x) {
#pragma unroll
            for (int y = 0; y < kSide; ++y) {
                add_element(gram, in.cols, first_i + i + x, first_j + j + y, sums[x][y]);
            }
        }
    }
}

}  // namespace

void accumulate_gram(const RowsView& in, double* gram, Stream stream) {
    require(in.cols >= 1, "accumulate_gram: no columns");
    if (in.rows == 0) return;
    const auto tiles = static_cast<unsigned>(ceil_div(in.cols, int64_t{kTile}));
    launch("gram_tile", gram_tile, {.grid = {tiles, tiles}, .block = kThreads}, stream, in, gram,
           in_fours(in));
}

}  // namespace quarot::kernels::cuda
