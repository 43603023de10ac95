#include <cuda_runtime.h>

#include "core/checked_math.h"
#include "kernels/cuda/device/bounded_ctas.cuh"
#include "kernels/cuda/device/griddep.cuh"
#include "kernels/cuda/gram.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/row_access.cuh"

namespace quarot::kernels::cuda {

namespace {

// A block owns kTile x kTile elements of the lower triangle, a thread kSide x kSide of them: four
// rows and the four kHalf further down, columns likewise. Rows pass through shared memory kDepth at
// a time. fp32 products and sums: tensor cores would round the inputs to 10 bits.
constexpr int kTile = 128, kSide = 8, kHalf = kTile / 2, kDepth = 8, kRun = 256;
constexpr int kThreadsAlong = kTile / kSide;
constexpr int kThreads = kThreadsAlong * kThreadsAlong;
constexpr int kFours = kTile / 4;  // of a panel's row
static_assert(kThreads == kDepth * kFours);

struct Panel {
    float values[kDepth][kTile];
};

template <typename T>
struct InputRows {
    const T* data;
    int64_t rows, cols, stride;
    bool fours;
};

// kTile columns of one row after another on their way to a panel: a thread loads four of every
// kDepth-th row; zeros outside.
template <typename T>
struct PanelLoad {
    const T* at;
    int64_t step;
    int columns;  // to load
    bool fours;
    float4 four;

    __device__ PanelLoad(const InputRows<T>& in, int64_t row, int64_t first)
        : step(kDepth * in.stride), fours(in.fours) {
        const int64_t column = first + threadIdx.x % kFours * 4;
        at = in.data + (row + threadIdx.x / kFours) * in.stride + column;
        columns = static_cast<int>(max(min(in.cols - column, int64_t{4}), int64_t{0}));
    }
    __device__ void fetch(int rows_left) {
        four = {0.0f, 0.0f, 0.0f, 0.0f};
        if (static_cast<int>(threadIdx.x / kFours) < rows_left && columns > 0) {
            four = load_four(at, 0, columns, fours);
        }
        at += step;
    }
    __device__ void put(Panel& panel) const {
        float* row = panel.values[threadIdx.x / kFours];
        *reinterpret_cast<float4*>(row + threadIdx.x % kFours * 4) = four;
    }
};

__device__ __forceinline__ void read_eight(const float* row, int first, float (&to)[kSide]) {
    const float4 low = *reinterpret_cast<const float4*>(row + first);
    const float4 high = *reinterpret_cast<const float4*>(row + first + kHalf);
    to[0] = low.x, to[1] = low.y, to[2] = low.z, to[3] = low.w;
    to[4] = high.x, to[5] = high.y, to[6] = high.z, to[7] = high.w;
}

__device__ __forceinline__ int place_of(int thread, int element) {
    return 4 * thread + element % 4 + element / 4 * kHalf;
}

__device__ __forceinline__ void multiply_panels(const Panel& left, const Panel& right, int y, int x,
                                                float (&sums)[kSide][kSide]) {
#pragma unroll
    for (int d = 0; d < kDepth; ++d) {
        float l[kSide], r[kSide];
        read_eight(left.values[d], 4 * y, l);
        read_eight(right.values[d], 4 * x, r);
#pragma unroll
        for (int i = 0; i < kSide; ++i) {
#pragma unroll
            for (int j = 0; j < kSide; ++j) sums[i][j] = fmaf(l[i], r[j], sums[i][j]);
        }
    }
}

// Adds a tile's sums to the lower triangle.
__device__ __forceinline__ void add_sums(const float (&sums)[kSide][kSide], int64_t n, int y, int x,
                                         double* gram) {
    const int64_t first_i = int64_t{blockIdx.y} * kTile, first_j = int64_t{blockIdx.x} * kTile;
    const int rows = static_cast<int>(min(n - first_i, int64_t{kTile}));
    const int columns = static_cast<int>(min(n - first_j, int64_t{kTile}));
    const bool diagonal = blockIdx.x == blockIdx.y;
#pragma unroll
    for (int i = 0; i < kSide; ++i) {
        const int row = place_of(y, i);
        if (row >= rows) break;
        double* to = gram + (first_i + row) * n + first_j;
#pragma unroll
        for (int j = 0; j < kSide; ++j) {
            const int column = place_of(x, j);
            if (column < columns && (!diagonal || column <= row)) to[column] += sums[i][j];
        }
        __syncwarp(__activemask());  // else more loads are begun at once than registers hold
    }
}

template <typename T>
__global__ void __launch_bounds__(kThreads, bounded_ctas(2))
    gram_tile(const __grid_constant__ InputRows<T> in, double* gram) {
    __shared__ alignas(16) Panel left, right;
    let_successor_start();
    wait_for_predecessor();
    if (blockIdx.x > blockIdx.y) return;
    const int64_t first_i = int64_t{blockIdx.y} * kTile, first_j = int64_t{blockIdx.x} * kTile;
    const int y = threadIdx.x / kThreadsAlong, x = threadIdx.x % kThreadsAlong;
    for (int64_t run = 0; run < in.rows; run += kRun) {
        const int rows = static_cast<int>(min(int64_t{kRun}, in.rows - run));
        float sums[kSide][kSide] = {};
        PanelLoad<T> a(in, run, first_i), b(in, run, first_j);
        a.fetch(rows);
        b.fetch(rows);
        for (int row = 0; row < rows; row += kDepth) {
            __syncthreads();
            a.put(left);
            b.put(right);
            __syncthreads();
            a.fetch(rows - row - kDepth);
            b.fetch(rows - row - kDepth);
            multiply_panels(left, right, y, x, sums);
        }
        add_sums(sums, in.cols, y, x, gram);
    }
}

// The upper triangle becomes the lower one's, in tiles whose rows both sides read and write in
// runs.
constexpr int kMirrorTile = 32, kMirrorThreads = 256, kMirrorRows = kMirrorThreads / kMirrorTile;

__global__ void __launch_bounds__(kMirrorThreads) mirror_tile(double* gram, int64_t n) {
    __shared__ double tile[kMirrorTile][kMirrorTile + 1];
    let_successor_start();
    wait_for_predecessor();
    if (blockIdx.x > blockIdx.y) return;
    const int64_t first_i = int64_t{blockIdx.y} * kMirrorTile;
    const int64_t first_j = int64_t{blockIdx.x} * kMirrorTile;
    const int x = threadIdx.x % kMirrorTile, y = threadIdx.x / kMirrorTile;
    for (int i = y; i < kMirrorTile; i += kMirrorRows) {
        if (first_i + i < n && first_j + x < n) tile[i][x] = gram[(first_i + i) * n + first_j + x];
    }
    __syncthreads();
    for (int j = y; j < kMirrorTile; j += kMirrorRows) {
        const int64_t row = first_j + j, column = first_i + x;
        if (row < column && column < n) gram[row * n + column] = tile[x][j];
    }
}

}  // namespace

void accumulate_gram(const RowsView& in, double* gram, Stream stream) {
    require(in.cols >= 1, "accumulate_gram: no columns");
    if (in.rows == 0) return;
    const auto tiles = static_cast<unsigned>(ceil_div(in.cols, int64_t{kTile}));
    const auto run = [&]<typename T>(const T* data) {
        launch("gram_tile", gram_tile<T>, {.grid = {tiles, tiles}, .block = kThreads}, stream,
               InputRows<T>{data, in.rows, in.cols, in.stride, in_fours(in)}, gram);
    };
    if (in.dtype == DType::F32) {
        run(static_cast<const float*>(in.data));
    } else if (in.dtype == DType::F16) {
        run(static_cast<const __half*>(in.data));
    } else {
        run(static_cast<const __nv_bfloat16*>(in.data));
    }
    const auto mirrored = static_cast<unsigned>(ceil_div(in.cols, int64_t{kMirrorTile}));
    launch("mirror_tile", mirror_tile, {.grid = {mirrored, mirrored}, .block = kMirrorThreads},
           stream, gram, in.cols);
}

}  // namespace quarot::kernels::cuda
