// With M lower and h = M^T M: U = (M^T)^-1 is upper and h^-1 = U^T U. M is made block of rows after
// block of rows, from the last to the first, in the lower triangle; U in the same order above it,
// from M^T U = 1. All sums then run down rows, where neighbouring threads read neighbouring
// numbers.
#include <algorithm>

#include "core/checked_math.h"
#include "kernels/cuda/device/griddep.cuh"
#include "kernels/cuda/fp64_product.h"
#include "kernels/cuda/hessian_factor.h"
#include "kernels/cuda/launch.cuh"

namespace quarot::kernels::cuda {

namespace {

constexpr int kBlock = kProductTile;
constexpr int kThreads = 256;
constexpr int kRowsAtOnce = kThreads / kBlock;

struct Block {
    double values[kBlock][kBlock + 1];  // neighbouring rows fall into different banks
};

struct DiagonalBlock {
    double* h;  // its first element
    int64_t stride;
    int size;
    double* inverse;  // [kBlock, kBlock]: M^-1, zeros above its diagonal and outside
    int32_t* failed;
};

// The lower triangle of m becomes M. Called by all threads.
__device__ void factor_in_shared(Block& m, int size, int32_t* failed) {
    const int column = threadIdx.x % kBlock, first_row = threadIdx.x / kBlock;
    for (int j = size - 1; j >= 0; --j) {
        __syncthreads();
        const double pivot = m.values[j][j];
        if (threadIdx.x == 0 && !(pivot > 0.0 && isfinite(pivot))) *failed = 1;
        const double root = sqrt(pivot);
        __syncthreads();
        if (threadIdx.x <= j) {
            m.values[j][threadIdx.x] = threadIdx.x == j ? root : m.values[j][threadIdx.x] / root;
        }
        __syncthreads();
        for (int row = first_row; row < j; row += kRowsAtOnce) {
            if (column > row) continue;
            m.values[row][column] =
                fma(-m.values[j][row], m.values[j][column], m.values[row][column]);
        }
    }
    __syncthreads();
}

// d becomes M^-1, row after row. Called by all threads.
__device__ void invert_in_shared(const Block& m, int size, Block& d) {
    const int column = threadIdx.x % kBlock, first_row = threadIdx.x / kBlock;
    for (int row = first_row; row < kBlock; row += kRowsAtOnce) {
        d.values[row][column] = row == column && row < size ? 1.0 : 0.0;
    }
    for (int k = 0; k < size; ++k) {
        __syncthreads();
        if (threadIdx.x <= k) d.values[k][threadIdx.x] /= m.values[k][k];
        __syncthreads();
        if (column > k) continue;  // zeros there
        for (int row = k + 1 + first_row; row < size; row += kRowsAtOnce) {
            d.values[row][column] =
                fma(-m.values[row][k], d.values[k][column], d.values[row][column]);
        }
    }
    __syncthreads();
}

// One CTA: M of a diagonal block, its inverse, and the block of U, which is the inverse transposed.
__global__ void __launch_bounds__(kThreads)
    factor_diagonal(const __grid_constant__ DiagonalBlock block) {
    extern __shared__ Block shared[];
    Block& m = shared[0];
    Block& d = shared[1];
    let_successor_start();
    wait_for_predecessor();
    const int column = threadIdx.x % kBlock, first_row = threadIdx.x / kBlock;
    for (int row = first_row; row < block.size; row += kRowsAtOnce) {
        if (column <= row) m.values[row][column] = block.h[row * block.stride + column];
    }
    factor_in_shared(m, block.size, block.failed);
    invert_in_shared(m, block.size, d);
    for (int row = first_row; row < kBlock; row += kRowsAtOnce) {
        block.inverse[row * kBlock + column] = d.values[row][column];
        if (row < block.size && column < block.size) {
            block.h[row * block.stride + column] = d.values[column][row];
        }
    }
}

// The lower triangle becomes M, but for its diagonal blocks, which become those of U.
void factor_lower(const HessianFactor& f, double* inverses, Stream stream) {
    for (int64_t first = (ceil_div(f.n, int64_t{kBlock}) - 1) * kBlock; first >= 0;
         first -= kBlock) {
        const int64_t size = std::min<int64_t>(kBlock, f.n - first);
        double* rows = f.h + first * f.n;
        double* inverse = inverses + first * kBlock;
        launch("factor_diagonal", factor_diagonal,
               {.grid = 1, .block = kThreads, .shared_bytes = 2 * sizeof(Block)}, stream,
               DiagonalBlock{rows + first, f.n, static_cast<int>(size), inverse, f.failed});
        multiply({.a = inverse,
                  .a_stride = kBlock,
                  .b = rows,
                  .b_stride = f.n,
                  .c = rows,
                  .c_stride = f.n,
                  .m = size,
                  .n = first,
                  .k = size},
                 stream);
        multiply({.a = rows,
                  .a_stride = f.n,
                  .b = rows,
                  .b_stride = f.n,
                  .c = f.h,
                  .c_stride = f.n,
                  .m = first,
                  .n = first,
                  .k = size,
                  .into = ProductInto::Subtract,
                  .lower_only = true},
                 stream);
    }
}

// U right of its diagonal blocks: of block i, -(M_ii^-1)^T times the sum of M_ki^T U_k over the
// blocks k behind it.
void make_upper(const HessianFactor& f, const double* inverses, double* sums, Stream stream) {
    for (int64_t first = (ceil_div(f.n, int64_t{kBlock}) - 2) * kBlock; first >= 0;
         first -= kBlock) {
        const int64_t behind = first + kBlock, rest = f.n - behind;
        multiply({.a = f.h + behind * f.n + first,
                  .a_stride = f.n,
                  .b = f.h + behind * f.n + behind,
                  .b_stride = f.n,
                  .c = sums,
                  .c_stride = rest,
                  .m = kBlock,
                  .n = rest,
                  .k = rest,
                  .upper_b = true},
                 stream);
        multiply({.a = inverses + first * kBlock,
                  .a_stride = kBlock,
                  .b = sums,
                  .b_stride = rest,
                  .c = f.h + first * f.n + behind,
                  .c_stride = f.n,
                  .m = kBlock,
                  .n = rest,
                  .k = kBlock,
                  .into = ProductInto::SetNegative},
                 stream);
    }
}

}  // namespace

int64_t factor_workspace(int64_t n) {
    const int64_t inverses = round_up(n, int64_t{kBlock}) * kBlock;
    return inverses + kBlock * n;
}

void factor(const HessianFactor& f, Stream stream) {
    if (f.n == 0) return;
    double* inverses = f.workspace;
    double* sums = inverses + round_up(f.n, int64_t{kBlock}) * kBlock;
    factor_lower(f, inverses, stream);
    make_upper(f, inverses, sums, stream);
}

}  // namespace quarot::kernels::cuda
