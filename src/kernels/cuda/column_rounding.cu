#include "core/checked_math.h"
#include "kernels/cuda/column_rounding.h"
#include "kernels/cuda/device/griddep.cuh"
#include "kernels/cuda/launch.cuh"

namespace quarot::kernels::cuda {

namespace {

// Transposed in tiles, so that both sides are read and written in runs.
constexpr int kTile = 32, kTileThreads = 256, kTileRows = kTileThreads / kTile;

__global__ void __launch_bounds__(kTileThreads)
    load_tile(const __grid_constant__ WeightColumns columns, const float* rows,
              const int32_t* order, const uint8_t* dead) {
    __shared__ float tile[kTile][kTile + 1];
    let_successor_start();
    wait_for_predecessor();
    const int64_t first = int64_t{blockIdx.x} * kTile, first_row = int64_t{blockIdx.y} * kTile;
    const int x = threadIdx.x % kTile, y = threadIdx.x / kTile;
    const int64_t i = first + x;
    const bool live = i < columns.n && dead[i] == 0;
    for (int r = y; r < kTile; r += kTileRows) {
        const int64_t row = first_row + r;
        tile[r][x] = live && row < columns.n_rows ? rows[row * columns.n + order[i]] : 0.0f;
    }
    __syncthreads();
    for (int c = y; c < kTile; c += kTileRows) {
        if (first + c >= columns.n || first_row + x >= columns.n_rows) continue;
        columns.column(first + c)[first_row + x] = tile[x][c];
    }
}

__global__ void __launch_bounds__(kTileThreads)
    read_tile(const __grid_constant__ WeightColumns columns, int64_t begin, int64_t count,
              float* out) {
    __shared__ float tile[kTile][kTile + 1];
    let_successor_start();
    wait_for_predecessor();
    const int64_t first = int64_t{blockIdx.x} * kTile, first_row = int64_t{blockIdx.y} * kTile;
    const int x = threadIdx.x % kTile, y = threadIdx.x / kTile;
    for (int c = y; c < kTile; c += kTileRows) {
        if (first + c >= count || first_row + x >= columns.n_rows) continue;
        tile[x][c] = static_cast<float>(columns.column(begin + first + c)[first_row + x]);
    }
    __syncthreads();
    for (int r = y; r < kTile; r += kTileRows) {
        const int64_t row = first_row + r;
        if (row < columns.n_rows && first + x < count) out[row * count + first + x] = tile[r][x];
    }
}

dim3 tiles_of(int64_t count, int64_t n_rows) {
    return {static_cast<unsigned>(ceil_div(count, int64_t{kTile})),
            static_cast<unsigned>(ceil_div(n_rows, int64_t{kTile}))};
}

// A thread owns a row, with its columns in registers.
constexpr int kRoundThreads = 128, kMost = kMostRounded;

__global__ void __launch_bounds__(kRoundThreads)
    round_rows(const __grid_constant__ ColumnRounding p) {
    __shared__ double u[kMost][kMost];
    __shared__ int column_of[kMost];
    let_successor_start();
    wait_for_predecessor();
    const int count = static_cast<int>(p.count);
    for (int e = threadIdx.x; e < kMost * kMost; e += kRoundThreads) {
        const int i = e / kMost, j = e % kMost;
        const bool inside = i <= j && j < count;
        u[i][j] = inside ? p.u[(p.first + i) * p.columns.n + p.first + j] : 0.0;
    }
    if (threadIdx.x < count) column_of[threadIdx.x] = p.order[p.first + threadIdx.x];
    __syncthreads();
    const int64_t n_rows = p.columns.n_rows;
    const int64_t row = int64_t{blockIdx.x} * kRoundThreads + threadIdx.x;
    if (row >= n_rows) return;
    double w[kMost];
#pragma unroll
    for (int i = 0; i < kMost; ++i) {
        w[i] = i < count ? p.columns.column(p.first + i)[row] : 0.0;
    }
    bool finite = true;
#pragma unroll
    for (int i = 0; i < kMost; ++i) {
        if (i >= count) break;
        const int64_t grid = column_of[i] / p.group_width * n_rows + row;
        const double scale = p.scales[grid], low = p.lows[grid];
        // Of a NaN fmax and fmin give the other number: a code in range, and an error that is NaN.
        const double q = rint(fmin(fmax(w[i] / scale, low), low + p.top));
        const double e = (w[i] - scale * q) / u[i][i];
        finite = finite && isfinite(e);
        p.codes[row * p.n_codes + column_of[i]] = static_cast<uint8_t>(q - low);
        p.columns.column(p.first + i)[row] = e;
#pragma unroll
        for (int j = i + 1; j < kMost; ++j) w[j] = fma(-e, u[i][j], w[j]);
    }
    if (!finite) *p.failed = 1;
}

}  // namespace

void load_columns(const WeightColumns& columns, const float* rows, const int32_t* order,
                  const uint8_t* dead, Stream stream) {
    launch("load_tile", load_tile,
           {.grid = tiles_of(columns.n, columns.n_rows), .block = kTileThreads}, stream, columns,
           rows, order, dead);
}

void read_columns(const WeightColumns& columns, int64_t first, int64_t count, float* out,
                  Stream stream) {
    if (count == 0) return;
    launch("read_tile", read_tile, {.grid = tiles_of(count, columns.n_rows), .block = kTileThreads},
           stream, columns, first, count, out);
}

void round_columns(const ColumnRounding& rounding, Stream stream) {
    require(rounding.count <= kMostRounded, "round_columns: too many columns");
    if (rounding.count == 0) return;
    const int64_t blocks = ceil_div(rounding.columns.n_rows, int64_t{kRoundThreads});
    launch("round_rows", round_rows,
           {.grid = static_cast<unsigned>(blocks), .block = kRoundThreads}, stream, rounding);
}

}  // namespace quarot::kernels::cuda
