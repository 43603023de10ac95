// The general kernel: any mixer, width, dtype and format, fp32 throughout.
#include <cuda_runtime.h>

#include "core/checked_math.h"
#include "kernels/cuda/activation.cuh"
#include "kernels/cuda/device/griddep.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/rotate.h"
#include "kernels/cuda/rotate_registers.h"
#include "kernels/cuda/rotate_tensor.h"
#include "kernels/cuda/row_access.cuh"
#include "kernels/cuda/row_blocks.h"
#include "kernels/cuda/shared_row.cuh"

namespace quarot::kernels::cuda {

namespace {

constexpr int kDenseRows = 8;  // outputs of the dense factor a thread sums at once

struct GeneralArguments {
    RowsView in;
    RowsView up;  // data null: no SwiGLU
    bool fours = false;
    bool identity = false;
    bool half_storage = false;
    int64_t inner = 1;
    int64_t segment = 1;  // columns of one Sylvester factor: its order * inner
    int64_t order = 1;    // of the dense factor
    int64_t dense_stride = 1;
    const float* dense = nullptr;
    float factor = 1.0f;
    float* workspace = nullptr;  // null: the rows are in shared memory
    int64_t buffer = 0;          // floats of one row buffer
};

// To the nearest half; finite numbers beyond its range stop at its largest.
__device__ float to_half(float x) {
    constexpr float kLargestHalf = 65504.0f;
    if (isinf(x) || isnan(x)) return x;
    return __half2float(__float2half_rn(fminf(fmaxf(x, -kLargestHalf), kLargestHalf)));
}

// A row's two buffers: what is transformed, and the dense factor's result.
struct RowBuffers {
    float* row;
    float* mixed;
};

__device__ RowBuffers buffers_of(const GeneralArguments& a, float* shared) {
    float* first = a.workspace == nullptr
                       ? shared
                       : a.workspace + 2 * static_cast<int64_t>(blockIdx.x) * a.buffer;
    return {first, first + a.buffer};
}

// Loads the row, through SwiGLU and rounding to halves where asked, times the factor.
__device__ void load_row(const GeneralArguments& a, float* row) {
    const int64_t step = 4 * static_cast<int64_t>(blockDim.x);
    for (int64_t c = 4 * threadIdx.x; c < a.in.cols; c += step) {
        float4 x = load_four(a.in, blockIdx.x, c, a.fours);
        if (a.up.data != nullptr) x = silu_times(x, load_four(a.up, blockIdx.x, c, a.fours));
        if (!a.identity) {
            if (a.half_storage) x = {to_half(x.x), to_half(x.y), to_half(x.z), to_half(x.w)};
            x = {x.x * a.factor, x.y * a.factor, x.z * a.factor, x.w * a.factor};
        }
        *reinterpret_cast<float4*>(row + c) = x;
    }
    __syncthreads();
}

// One stage: elements `stride` apart become their sum and their difference.
__device__ void butterfly_stage(float* row, int64_t cols, int64_t stride) {
    for (int64_t pair = threadIdx.x; pair < cols / 2; pair += blockDim.x) {
        float* low = row + pair / stride * 2 * stride + pair % stride;
        const float x = low[0], y = low[stride];
        low[0] = x + y;
        low[stride] = x - y;
    }
    __syncthreads();
}

// Two stages in one pass; the same sums in the same order.
__device__ void two_stages(float* row, int64_t cols, int64_t stride) {
    for (int64_t four = threadIdx.x; four < cols / 4; four += blockDim.x) {
        float* x = row + four / stride * 4 * stride + four % stride;
        const float a = x[0], b = x[stride], c = x[2 * stride], d = x[3 * stride];
        const float sum_ab = a + b, difference_ab = a - b, sum_cd = c + d, difference_cd = c - d;
        x[0] = sum_ab + sum_cd;
        x[stride] = difference_ab + difference_cd;
        x[2 * stride] = sum_ab - sum_cd;
        x[3 * stride] = difference_ab - difference_cd;
    }
    __syncthreads();
}

__device__ void sylvester(const GeneralArguments& a, float* row) {
    int64_t stride = a.inner;
    for (; stride * 4 <= a.segment; stride *= 4) two_stages(row, a.in.cols, stride);
    if (stride * 2 <= a.segment) butterfly_stage(row, a.in.cols, stride);
    if (!a.half_storage) return;
    for (int64_t c = threadIdx.x; c < a.in.cols; c += blockDim.x) row[c] = to_half(row[c]);
    __syncthreads();
}

// mixed[k][c] = sum over k' of dense[k][k'] row[k'][c] in every block of order * segment columns:
// one fused chain, k' ascending. Neighbouring threads take neighbouring columns.
__device__ void mix_dense(const GeneralArguments& a, const RowBuffers& buffers) {
    const int64_t n_tiles = (a.order + kDenseRows - 1) / kDenseRows;
    const int64_t block = a.order * a.segment, n_blocks = a.in.cols / block;
    for (int64_t item = threadIdx.x; item < n_blocks * n_tiles * a.segment; item += blockDim.x) {
        const int64_t c = item % a.segment, tile = item / a.segment % n_tiles;
        const int64_t start = item / a.segment / n_tiles * block + c;
        const float* dense = a.dense + tile * kDenseRows;
        float sums[kDenseRows] = {};
        for (int64_t from = 0; from < a.order; ++from) {
            const float x = buffers.row[start + from * a.segment];
            const auto* factors = reinterpret_cast<const float4*>(dense + from * a.dense_stride);
            const float4 low = __ldg(factors), high = __ldg(factors + 1);
            const float d[] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
#pragma unroll
            for (int k = 0; k < kDenseRows; ++k) sums[k] = fmaf(d[k], x, sums[k]);
        }
#pragma unroll
        for (int k = 0; k < kDenseRows; ++k) {
            const int64_t row = tile * kDenseRows + k;
            if (row >= a.order) continue;
            buffers.mixed[start + row * a.segment] = a.half_storage ? to_half(sums[k]) : sums[k];
        }
    }
    __syncthreads();
}

// The transformed row, visible to the whole block.
__device__ float* transform_row(const GeneralArguments& a, float* shared) {
    const RowBuffers buffers = buffers_of(a, shared);
    load_row(a, buffers.row);
    if (a.identity) return buffers.row;
    sylvester(a, buffers.row);
    if (a.order == 1) return buffers.row;
    mix_dense(a, buffers);
    return buffers.mixed;
}

__global__ void rotate_row(const __grid_constant__ GeneralArguments a,
                           const __grid_constant__ RowsView out, bool fours) {
    extern __shared__ __align__(16) float shared[];
    let_successor_start();
    wait_for_predecessor();
    const float* row = transform_row(a, shared);
    for (int64_t c = 4 * threadIdx.x; c < out.cols; c += 4 * static_cast<int64_t>(blockDim.x)) {
        store_four(out, blockIdx.x, c, fours, *reinterpret_cast<const float4*>(row + c));
    }
}

__global__ void __launch_bounds__(kMostRowThreads)
    rotate_quantize_row(const __grid_constant__ GeneralArguments a,
                        const __grid_constant__ QuantizeTarget target) {
    extern __shared__ __align__(16) float shared[];
    __shared__ BlockScratch scratch;
    let_successor_start();
    wait_for_predecessor();
    const float* row = transform_row(a, shared);
    BlockTeam block(scratch);
    SharedRowQuantizer{target, row, blockIdx.x}.run(block);
}

int64_t buffer_floats(int64_t cols) {
    return round_up(cols, int64_t{4});
}

int64_t two_rows_bytes(int64_t cols) {
    return 2 * buffer_floats(cols) * 4;
}

// Both buffers, or the one that a transform without a dense factor needs.
int64_t shared_row_bytes(const Rotation& rotation, int64_t cols) {
    const bool two = rotation.dense_order() > 1 && !rotation.identity();
    return two ? two_rows_bytes(cols) : two_rows_bytes(cols) / 2;
}

bool fits_shared(int64_t bytes) {
    return bytes <= current_device().shared_bytes - 1024;
}
bool fits_shared(const Rotation& rotation, int64_t cols) {
    return fits_shared(shared_row_bytes(rotation, cols));
}

GeneralArguments general_arguments(const Rotation& rotation, const RotateInput& in) {
    GeneralArguments a;
    a.in = in.rows;
    if (in.up != nullptr) {
        a.up = in.rows;
        a.up.data = const_cast<void*>(in.up);
        a.up.stride = in.up_stride;
    }
    a.fours = in_fours(a.in) && (in.up == nullptr || in_fours(a.up));
    a.identity = rotation.identity();
    a.half_storage = rotation.half_storage();
    a.inner = rotation.inner();
    a.order = rotation.dense_order();
    a.segment = rotation.n() / a.order * a.inner;
    a.dense_stride = rotation.dense_stride();
    a.dense = rotation.dense();
    a.factor = rotation.sylvester_factor();
    a.buffer = buffer_floats(in.rows.cols);
    if (!fits_shared(rotation, in.rows.cols)) a.workspace = in.workspace;
    return a;
}

LaunchShape general_shape(const Rotation& rotation, const RotateInput& in) {
    const int64_t cols = in.rows.cols;
    require(cols % rotation.block() == 0, "rotate: columns in whole blocks");
    const bool fits = fits_shared(rotation, cols);
    require(fits || in.workspace != nullptr, "rotate: workspace");
    return {.grid = static_cast<unsigned>(in.rows.rows),
            .block = std::max(threads_for_row(cols), 128u),
            .shared_bytes = fits ? static_cast<int>(shared_row_bytes(rotation, cols)) : 0};
}

}  // namespace

int64_t rotate_workspace_bytes(const Rotation& rotation, const RowsView& rows) {
    return fits_shared(rotation, rows.cols) ? 0 : two_rows_bytes(rows.cols) * rows.rows;
}

int64_t rotate_workspace_bytes(int64_t rows, int64_t cols) {
    return fits_shared(two_rows_bytes(cols)) ? 0 : two_rows_bytes(cols) * rows;
}

void rotate_rows(const Rotation& rotation, const RotateInput& in, const RowsView& out,
                 Stream stream) {
    require(in.rows.rows == out.rows && in.rows.cols == out.cols, "rotate_rows: shapes");
    if (out.rows == 0) return;
    const bool fours = in_fours(out);
    if (takes_tensor_path(rotation, in) && out.dtype == in.rows.dtype && fours &&
        out.stride % 8 == 0 && reinterpret_cast<uintptr_t>(out.data) % 16 == 0) {
        rotate_rows_tensor(rotation, in, out, stream);
        return;
    }
    launch("rotate_row", rotate_row, general_shape(rotation, in), stream,
           general_arguments(rotation, in), out, fours);
}

void rotate_quantize(const Rotation& rotation, const RotateInput& in, const QuantizeTarget& target,
                     Stream stream) {
    const ActivationView& codes = target.codes;
    require(in.rows.rows == codes.rows && in.rows.cols == codes.cols, "rotate_quantize: shapes");
    check_target(target);
    if (codes.rows == 0) return;
    if (takes_register_path(rotation, in, target)) {
        rotate_quantize_registers(rotation, in, target, stream);
        return;
    }
    if (!takes_tensor_path(rotation, in)) {
        launch("rotate_quantize_row", rotate_quantize_row, general_shape(rotation, in), stream,
               general_arguments(rotation, in), target);
        return;
    }
    const bool whole_rows = codes.group_size == 0 && codes.stride == codes.cols;
    const bool plain = codes.offsets == nullptr && codes.bases == nullptr && !target.two_level &&
                       target.positions == nullptr;
    if (whole_rows && plain) {
        rotate_quantize_tensor(rotation, in, target, stream);
        return;
    }
    rotate_rows_tensor(rotation, in, in.rows, stream);
    quantize_rows(in.rows, target, stream);
}

}  // namespace quarot::kernels::cuda
