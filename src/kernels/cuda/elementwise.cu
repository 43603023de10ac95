#include <cuda_runtime.h>

#include <algorithm>

#include "core/checked_math.h"
#include "kernels/cuda/activation.cuh"
#include "kernels/cuda/device/griddep.cuh"
#include "kernels/cuda/elementwise.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/row_access.cuh"
#include "kernels/cuda/weight_values.cuh"

namespace quarot::kernels::cuda {

namespace {

constexpr int kThreads = 256;

// Where a thread's four elements lie.
struct Place {
    int64_t row, column;
    bool inside;
};

// Rows along y, so that no division is needed; grid.y is limited, hence the loop of the callers.
__device__ Place place_in(int64_t cols) {
    const int64_t column = 4 * (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x);
    return {blockIdx.y, column, column < cols};
}

LaunchShape shape_of(const RowsView& rows) {
    constexpr int64_t kMostRows = 65535;
    return {.grid = {static_cast<unsigned>(ceil_div(rows.cols, int64_t{4 * kThreads})),
                     static_cast<unsigned>(std::min(rows.rows, kMostRows))},
            .block = kThreads};
}

// up.data null: ones.
__global__ void activate_rows(Activation activation, const __grid_constant__ RowsView gate,
                              const __grid_constant__ RowsView up,
                              const __grid_constant__ RowsView out, bool fours) {
    let_successor_start();
    wait_for_predecessor();
    auto [row, c, inside] = place_in(out.cols);
    if (!inside) return;
    for (; row < out.rows; row += gridDim.y) {
        const float4 y = activated(activation, load_four(gate, row, c, fours));
        if (up.data == nullptr) {
            store_four(out, row, c, fours, y);
            continue;
        }
        const float4 u = load_four(up, row, c, fours);
        store_four(out, row, c, fours, {y.x * u.x, y.y * u.y, y.z * u.z, y.w * u.w});
    }
}

__device__ float scaled(float x, float scale, float cap) {
    return cap == 0.0f ? scale * x : cap * tanhf(scale * x / cap);
}

__global__ void scale_each(const __grid_constant__ RowsView in, float scale, float cap,
                           const __grid_constant__ RowsView out, bool fours) {
    let_successor_start();
    wait_for_predecessor();
    auto [row, c, inside] = place_in(out.cols);
    if (!inside) return;
    for (; row < out.rows; row += gridDim.y) {
        const float4 x = load_four(in, row, c, fours);
        store_four(out, row, c, fours,
                   {scaled(x.x, scale, cap), scaled(x.y, scale, cap), scaled(x.z, scale, cap),
                    scaled(x.w, scale, cap)});
    }
}

__global__ void add_to_rows(const __grid_constant__ RowsView in, const float* bias,
                            const __grid_constant__ RowsView sum, bool fours) {
    let_successor_start();
    wait_for_predecessor();
    auto [row, c, inside] = place_in(sum.cols);
    if (!inside) return;
    const float4 b =
        bias == nullptr ? float4{0.0f, 0.0f, 0.0f, 0.0f} : load_four(bias, c, sum.cols, fours);
    for (; row < sum.rows; row += gridDim.y) {
        const float4 x = load_four(in, row, c, fours), old = load_four(sum, row, c, fours);
        store_four(
            sum, row, c, fours,
            {old.x + (x.x + b.x), old.y + (x.y + b.y), old.z + (x.z + b.z), old.w + (x.w + b.w)});
    }
}

// Four elements of a row of floats, or of codes as floats.
struct FloatRows {
    RowsView rows;

    __device__ float4 four(int64_t row, int64_t c, bool fours) const {
        return load_four(rows, row, c, fours);
    }
};
struct CodeRows {
    WeightView weight;

    __device__ float4 four(int64_t row, int64_t c, bool) const {
        float x[4] = {};
        for (int i = 0; i < 4 && c + i < weight.shape.cols; ++i) {
            x[i] = weight_value(weight, row, c + i);
        }
        return {x[0], x[1], x[2], x[3]};
    }
};

template <typename From>
__global__ void take_rows(const __grid_constant__ From from, const int32_t* indices,
                          const __grid_constant__ RowsView out, bool fours) {
    let_successor_start();
    wait_for_predecessor();
    auto [row, c, inside] = place_in(out.cols);
    if (!inside) return;
    for (; row < out.rows; row += gridDim.y) {
        store_four(out, row, c, fours, from.four(indices[row], c, fours));
    }
}

__global__ void add_rows_at(const __grid_constant__ RowsView table, const int32_t* positions,
                            int64_t offset, const __grid_constant__ RowsView sum, bool fours) {
    let_successor_start();
    wait_for_predecessor();
    auto [row, c, inside] = place_in(sum.cols);
    if (!inside) return;
    for (; row < sum.rows; row += gridDim.y) {
        const int64_t position = positions[row];
        if (position < 0) continue;
        const float4 x = load_four(table, position + offset, c, fours);
        const float4 old = load_four(sum, row, c, fours);
        store_four(sum, row, c, fours, {old.x + x.x, old.y + x.y, old.z + x.z, old.w + x.w});
    }
}

__global__ void take_columns(const __grid_constant__ RowsView in, const int32_t* columns,
                             const __grid_constant__ RowsView out, bool fours) {
    let_successor_start();
    wait_for_predecessor();
    auto [row, c, inside] = place_in(out.cols);
    if (!inside) return;
    for (; row < out.rows; row += gridDim.y) {
        float x[4] = {};
        for (int i = 0; i < 4 && c + i < out.cols; ++i) x[i] = element(in, row, columns[c + i]);
        store_four(out, row, c, fours, {x[0], x[1], x[2], x[3]});
    }
}

__global__ void look_for_non_finite(const __grid_constant__ RowsView in, int32_t site,
                                    int32_t* bad_site, bool fours) {
    let_successor_start();
    wait_for_predecessor();
    auto [row, c, inside] = place_in(in.cols);
    if (!inside) return;
    for (; row < in.rows; row += gridDim.y) {
        const float4 x = load_four(in, row, c, fours);
        if (isfinite(x.x) && isfinite(x.y) && isfinite(x.z) && isfinite(x.w)) continue;
        atomicMin(bad_site + row, site);
    }
}

bool is_empty(const RowsView& rows) {
    return rows.rows == 0 || rows.cols == 0;
}

}  // namespace

void activate(Activation activation, const RowsView& gate, const RowsView* up, const RowsView& out,
              Stream stream) {
    require(gate.rows == out.rows && gate.cols == out.cols, "activate: shapes");
    require(up == nullptr || (up->rows == out.rows && up->cols == out.cols), "activate: shapes");
    if (is_empty(out)) return;
    launch("activate_rows", activate_rows, shape_of(out), stream, activation, gate,
           up == nullptr ? RowsView{} : *up, out,
           in_fours(gate) && (up == nullptr || in_fours(*up)) && in_fours(out));
}

void scale_rows(const RowsView& in, float scale, float cap, const RowsView& out, Stream stream) {
    require(in.rows == out.rows && in.cols == out.cols, "scale_rows: shapes");
    if (is_empty(out)) return;
    launch("scale_each", scale_each, shape_of(out), stream, in, scale, cap, out,
           in_fours(in) && in_fours(out));
}

void add_rows(const RowsView& in, const float* bias, const RowsView& sum, Stream stream) {
    require(in.rows == sum.rows && in.cols == sum.cols && sum.dtype == DType::F32,
            "add_rows: shapes");
    if (is_empty(sum)) return;
    launch("add_to_rows", add_to_rows, shape_of(sum), stream, in, bias, sum,
           in_fours(in) && in_fours(sum) && in_fours<float>(bias, 0));
}

void embed(const RowsView& table, const int32_t* ids, const RowsView& out, Stream stream) {
    gather_rows(table, ids, out, stream);
}

void embed(const WeightView& table, const int32_t* ids, const RowsView& out, Stream stream) {
    require(table.shape.cols == out.cols, "embed: shapes");
    if (is_empty(out)) return;
    launch("take_rows", take_rows<CodeRows>, shape_of(out), stream, CodeRows{table}, ids, out,
           in_fours(out));
}

void add_position_rows(const RowsView& table, const int32_t* positions, int64_t offset,
                       const RowsView& sum, Stream stream) {
    require(table.cols == sum.cols && sum.dtype == DType::F32, "add_position_rows: shapes");
    if (is_empty(sum)) return;
    launch("add_rows_at", add_rows_at, shape_of(sum), stream, table, positions, offset, sum,
           in_fours(table) && in_fours(sum));
}

void gather_rows(const RowsView& in, const int32_t* rows, const RowsView& out, Stream stream) {
    require(in.cols == out.cols, "gather_rows: shapes");
    if (is_empty(out)) return;
    launch("take_rows", take_rows<FloatRows>, shape_of(out), stream, FloatRows{in}, rows, out,
           in_fours(in) && in_fours(out));
}

void gather_columns(const RowsView& in, const int32_t* columns, const RowsView& out,
                    Stream stream) {
    require(in.rows == out.rows, "gather_columns: shapes");
    if (is_empty(out)) return;
    launch("take_columns", take_columns, shape_of(out), stream, in, columns, out, in_fours(out));
}

void note_non_finite(const RowsView& in, int32_t site, int32_t* bad_site, Stream stream) {
    if (is_empty(in) || bad_site == nullptr) return;
    launch("look_for_non_finite", look_for_non_finite, shape_of(in), stream, in, site, bad_site,
           in_fours(in));
}

}  // namespace quarot::kernels::cuda
