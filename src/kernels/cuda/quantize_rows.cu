#include <cuda_runtime.h>

#include <algorithm>

#include "kernels/cuda/device/griddep.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/quantize_rows.h"
#include "kernels/cuda/register_row.cuh"
#include "kernels/cuda/row_access.cuh"
#include "kernels/cuda/row_blocks.h"
#include "kernels/cuda/shared_row.cuh"

namespace quarot::kernels::cuda {

namespace {

constexpr unsigned kThreads = 512;  // at most; more leave a thread too few registers

// One block takes one row: floats in shared memory, then range, codes and sum of every group.
__global__ void __launch_bounds__(kThreads, 1)
    quantize_row(const __grid_constant__ RowsView in, const __grid_constant__ QuantizeTarget target,
                 bool fours) {
    extern __shared__ __align__(16) float row[];
    __shared__ BlockScratch scratch;
    let_successor_start();
    wait_for_predecessor();
    const int64_t step = 4 * static_cast<int64_t>(blockDim.x);
    for (int64_t c = 4 * threadIdx.x; c < in.cols; c += step) {
        *reinterpret_cast<float4*>(row + c) = load_four(in, blockIdx.x, c, fours);
    }
    BlockTeam block(scratch);
    SharedRowQuantizer{target, row, blockIdx.x}.run(block);
}

template <int kFours, bool kGrouped>
__global__ void __launch_bounds__(most_threads(kFours), 1)
    quantize_registers(const __grid_constant__ RowsView in,
                       const __grid_constant__ QuantizeTarget target) {
    __shared__ BlockScratch scratch;
    let_successor_start();
    wait_for_predecessor();
    RegisterRow<kFours> row;
    with_elements(in.dtype, [&]<typename T>() { row.template load<T>(in, blockIdx.x); });
    BlockTeam block(scratch);
    row.template quantize<kGrouped>(block, target, blockIdx.x);
}

__device__ float value_of(const ActivationView& in, int64_t row, int64_t col) {
    const int64_t size = in.group_size == 0 ? in.cols : in.group_size;
    const int64_t at = row * in.n_groups() + col / size;
    const int stored = in.codes[code_offset(in.rows, in.stride, row, col)];
    const auto code = static_cast<float>(stored - code_bias(in.bits));
    if (in.bases != nullptr) return __fadd_rn(__fmul_rn(in.scales[at], code), in.bases[at]);
    const float offset = in.offsets == nullptr ? 0.0f : static_cast<float>(in.offsets[at]);
    return __fmul_rn(in.scales[at], __fsub_rn(code, offset));
}

__global__ void dequantize_row(const __grid_constant__ ActivationView in,
                               const __grid_constant__ RowsView out) {
    let_successor_start();
    wait_for_predecessor();
    for (int64_t c = 4 * threadIdx.x; c < in.cols; c += 4 * static_cast<int64_t>(blockDim.x)) {
        float x[4] = {};
        for (int i = 0; i < 4 && c + i < in.cols; ++i) x[i] = value_of(in, blockIdx.x, c + i);
        store_four(out, blockIdx.x, c, false, {x[0], x[1], x[2], x[3]});
    }
}

}  // namespace

void check_target(const QuantizeTarget& target) {
    const ActivationView& out = target.codes;
    require(target.bits >= 2 && target.bits <= out.bits && out.bits <= 8, "quantizing: bits");
    require(out.offsets == nullptr || (out.bases == nullptr && !target.two_level),
            "quantizing: zero points");
    require(out.multiples == nullptr || (target.two_level && fills_lanes(out.group_size)),
            "quantizing: multiples");
}

void quantize_rows(const RowsView& in, const QuantizeTarget& target, Stream stream) {
    const ActivationView& out = target.codes;
    require(in.rows == out.rows && in.cols == out.cols, "quantize_rows: shapes");
    check_target(target);
    require(row_bytes(in.cols) <= current_device().shared_bytes - 1024, "quantize_rows: width");
    if (in.rows == 0) return;
    if (fits_registers(target) && in_fours(in)) {
        with_fours<true>(in.rows, in.cols, [&]<int kFours>() {
            const LaunchShape shape{.grid = static_cast<unsigned>(in.rows),
                                    .block = threads_for_fours(in.cols, kFours)};
            with_groups(target, [&]<bool kGrouped>() {
                launch("quantize_registers", quantize_registers<kFours, kGrouped>, shape, stream,
                       in, target);
            });
        });
        return;
    }
    launch("quantize_row", quantize_row,
           {.grid = static_cast<unsigned>(in.rows),
            .block = std::min(threads_for_row(in.cols), kThreads),
            .shared_bytes = row_bytes(in.cols)},
           stream, in, target, in_fours(in));
}

void dequantize_rows(const ActivationView& in, const RowsView& out, Stream stream) {
    require(in.rows == out.rows && in.cols == out.cols, "dequantize_rows: shapes");
    if (in.rows == 0) return;
    launch("dequantize_row", dequantize_row,
           {.grid = static_cast<unsigned>(in.rows), .block = threads_for_row(in.cols)}, stream, in,
           out);
}

}  // namespace quarot::kernels::cuda
