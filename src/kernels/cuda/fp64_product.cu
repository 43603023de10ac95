#include "core/checked_math.h"
#include "kernels/cuda/device/bounded_ctas.cuh"
#include "kernels/cuda/device/griddep.cuh"
#include "kernels/cuda/fp64_product.h"
#include "kernels/cuda/launch.cuh"

namespace quarot::kernels::cuda {

namespace {

// A CTA owns a tile of c, a thread 4 x 4 elements of it: rows 2 y, 2 y + 1 and the same 32 further
// down, columns likewise, so that the 16 bytes that neighbouring threads read stand side by side.
constexpr int kTile = kProductTile, kSide = 4, kHalf = kTile / 2, kDepth = 16;
constexpr int kThreadsAlong = kTile / kSide;
constexpr int kThreads = kThreadsAlong * kThreadsAlong;
constexpr int kLoads = kDepth * kTile / kThreads;  // of a thread into one panel

struct Panel {
    double values[kDepth][kTile];
};

// The next kDepth rows of one side, on their way to its panel; zeros outside.
struct Loads {
    double values[kLoads];

    __device__ void fetch(const double* from, int64_t stride, int64_t row, int64_t end,
                          int64_t column, int64_t columns) {
        const int64_t at = column + threadIdx.x % kTile;
#pragma unroll
        for (int i = 0; i < kLoads; ++i) {
            const int64_t r = row + threadIdx.x / kTile + i * (kThreads / kTile);
            values[i] = r < end && at < columns ? from[r * stride + at] : 0.0;
        }
    }
    __device__ void put(Panel& panel) const {
#pragma unroll
        for (int i = 0; i < kLoads; ++i) {
            panel.values[threadIdx.x / kTile + i * (kThreads / kTile)][threadIdx.x % kTile] =
                values[i];
        }
    }
};

// The four elements of a panel's row that a thread multiplies.
__device__ __forceinline__ void read_four(const double* row, int first, double (&to)[kSide]) {
    const double2 low = *reinterpret_cast<const double2*>(row + first);
    const double2 high = *reinterpret_cast<const double2*>(row + first + kHalf);
    to[0] = low.x;
    to[1] = low.y;
    to[2] = high.x;
    to[3] = high.y;
}

__device__ __forceinline__ int place_of(int thread, int element) {
    return 2 * thread + element % 2 + element / 2 * kHalf;
}

__device__ __forceinline__ double joined(double c, double sum, ProductInto into) {
    if (into == ProductInto::Subtract) return c - sum;
    return into == ProductInto::SetNegative ? -sum : sum;
}

__global__ void __launch_bounds__(kThreads, bounded_ctas(3))
    product_tile(const __grid_constant__ TransposedProduct p) {
    __shared__ alignas(16) Panel left, right;
    let_successor_start();
    wait_for_predecessor();
    if (p.lower_only && blockIdx.x > blockIdx.y) return;
    const int64_t first_row = int64_t{blockIdx.y} * kTile,
                  first_column = int64_t{blockIdx.x} * kTile;
    const int64_t end = p.upper_b ? min(p.k, first_column + kTile) : p.k;
    const int y = threadIdx.x / kThreadsAlong, x = threadIdx.x % kThreadsAlong;
    double sums[kSide][kSide] = {};
    Loads a, b;
    a.fetch(p.a, p.a_stride, 0, end, first_row, p.m);
    b.fetch(p.b, p.b_stride, 0, end, first_column, p.n);
    for (int64_t row = 0; row < end; row += kDepth) {
        __syncthreads();
        a.put(left);
        b.put(right);
        __syncthreads();
        a.fetch(p.a, p.a_stride, row + kDepth, end, first_row, p.m);
        b.fetch(p.b, p.b_stride, row + kDepth, end, first_column, p.n);
#pragma unroll
        for (int d = 0; d < kDepth; ++d) {
            double l[kSide], r[kSide];
            read_four(left.values[d], 2 * y, l);
            read_four(right.values[d], 2 * x, r);
#pragma unroll
            for (int i = 0; i < kSide; ++i) {
#pragma unroll
                for (int j = 0; j < kSide; ++j) sums[i][j] = fma(l[i], r[j], sums[i][j]);
            }
        }
    }
#pragma unroll
    for (int i = 0; i < kSide; ++i) {
        const int64_t row = first_row + place_of(y, i);
#pragma unroll
        for (int j = 0; j < kSide; ++j) {
            const int64_t column = first_column + place_of(x, j);
            if (row >= p.m || column >= p.n) continue;
            double& c = p.c[row * p.c_stride + column];
            c = joined(p.into == ProductInto::Subtract ? c : 0.0, sums[i][j], p.into);
        }
    }
}

}  // namespace

void multiply(const TransposedProduct& product, Stream stream) {
    require(product.b != product.c || product.m <= kProductTile, "a product in place is one tile");
    if (product.m == 0 || product.n == 0) return;
    const auto rows = static_cast<unsigned>(ceil_div(product.m, int64_t{kTile}));
    const auto columns = static_cast<unsigned>(ceil_div(product.n, int64_t{kTile}));
    launch("product_tile", product_tile, {.grid = {columns, rows}, .block = kThreads}, stream,
           product);
}

}  // namespace quarot::kernels::cuda
