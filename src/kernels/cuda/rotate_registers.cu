// One CTA takes one row, or of few rows a cluster of them: SwiGLU, the transform, range and codes
// of every group without leaving registers. A thread has four neighbouring columns, so that a block
// of 2^m columns lies in 2^m / 4 lanes of a warp: two stages of sums and differences inside the
// thread, the others between lanes. Operations and their order are those of the general kernel
// (rotate.cu).
#include "kernels/cuda/activation.cuh"
#include "kernels/cuda/device/griddep.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/register_row.cuh"
#include "kernels/cuda/rotate_registers.h"
#include "kernels/cuda/row_access.cuh"
#include "kernels/cuda/row_blocks.h"

namespace quarot::kernels::cuda {

namespace {

constexpr int64_t kMostBlock = 128;  // four columns of each lane

struct RegisterArguments {
    RowsView in;
    const void* up = nullptr;  // null: no SwiGLU
    int64_t up_stride = 0;
    int block = 1;  // columns; 1: no transform
    float factor = 1.0f;
};

// Loads the row, through SwiGLU where asked. Four pieces at a time, all loads before the first use.
template <typename T, int kFours, int kSharers>
__device__ __forceinline__ void load_row(const RegisterArguments& a, int64_t index,
                                         RegisterRow<kFours, kSharers>& row) {
    constexpr int kAtOnce = kFours < 4 ? kFours : 4;
    const T* in = static_cast<const T*>(a.in.data) + index * a.in.stride;
    const T* up = static_cast<const T*>(a.up) + index * a.up_stride;
#pragma unroll
    for (int first = 0; first < kFours; first += kAtOnce) {
        Four<T> gates[kAtOnce] = {}, ups[kAtOnce] = {};
#pragma unroll
        for (int i = 0; i < kAtOnce; ++i) {
            const int64_t c = row.column(first + i);
            if (c >= a.in.cols) continue;
            gates[i] = *reinterpret_cast<const Four<T>*>(in + c);
            if (a.up != nullptr) ups[i] = *reinterpret_cast<const Four<T>*>(up + c);
        }
#pragma unroll
        for (int i = 0; i < kAtOnce; ++i) {
            float4& x = row.x[first + i];
            x = to_floats(gates[i]);
            if (a.up != nullptr) x = fast_silu_times(x, to_floats(ups[i]));
        }
    }
}

// The stage between lanes that are `step` apart: the lower one's sum, the upper one's difference.
__device__ __forceinline__ float between_lanes(float x, int step) {
    const float other = __shfl_xor_sync(kAllLanes, x, step);
    return (threadIdx.x & step) == 0 ? x + other : other - x;
}

template <int kFours, int kSharers>
__device__ __forceinline__ void transform(const RegisterArguments& a,
                                          RegisterRow<kFours, kSharers>& row) {
    if (a.block == 1) return;
    const float f = a.factor;
#pragma unroll
    for (float4& x : row.x) {
        // No product becomes part of a sum that is rounded once.
        x = {__fmul_rn(x.x, f), __fmul_rn(x.y, f), __fmul_rn(x.z, f), __fmul_rn(x.w, f)};
        x = {x.x + x.y, x.x - x.y, x.z + x.w, x.z - x.w};
        if (a.block >= 4) x = {x.x + x.z, x.y + x.w, x.x - x.z, x.y - x.w};
    }
#pragma unroll 1
    for (int step = 1; 4 * step < a.block; step *= 2) {
#pragma unroll
        for (float4& x : row.x) {
            x = {between_lanes(x.x, step), between_lanes(x.y, step), between_lanes(x.z, step),
                 between_lanes(x.w, step)};
        }
    }
}

template <int kFours, bool kGrouped, int kSharers = 1>
__global__ void __launch_bounds__(most_threads(kFours), 1)
    rotate_registers(const __grid_constant__ RegisterArguments a,
                     const __grid_constant__ QuantizeTarget target) {
    __shared__ BlockScratch scratch;
    BlockTeam block(scratch);
    let_successor_start();
    if constexpr (kSharers > 1) cluster_sync();  // all are running
    wait_for_predecessor();
    const int64_t index = blockIdx.x / kSharers;
    RegisterRow<kFours, kSharers> row;
    if (a.in.dtype == DType::F16) {
        load_row<__half>(a, index, row);
    } else {
        load_row<__nv_bfloat16>(a, index, row);
    }
    transform(a, row);
    row.template quantize<kGrouped>(block, target, index);
}

// Few rows of groups by clusters: alone, a block would take longer than anything beside it.
constexpr int kBlocksOfRow = 8;
constexpr int64_t kMostShared = 16, kLeastSharedColumns = 2048;

bool takes_clusters(int64_t rows, int64_t cols, const QuantizeTarget& target) {
    return current_device().compute_capability >= 90 && target.codes.group_size > 0 &&
           rows <= kMostShared && cols >= kLeastSharedColumns;
}

void launch_clusters(const RegisterArguments& a, const QuantizeTarget& target, Stream stream) {
    const LaunchShape shape{.grid = static_cast<unsigned>(a.in.rows * kBlocksOfRow),
                            .block = threads_for_fours(a.in.cols, kBlocksOfRow),
                            .cluster = kBlocksOfRow};
    launch("rotate_registers", rotate_registers<1, true, kBlocksOfRow>, shape, stream, a, target);
}

}  // namespace

bool takes_register_path(const Rotation& rotation, const RotateInput& in,
                         const QuantizeTarget& target) {
    const bool small = rotation.identity() || (rotation.dense_order() == 1 &&
                                               rotation.inner() == 1 && rotation.n() <= kMostBlock);
    const bool up_in_fours = in.up == nullptr || in_fours<__half>(in.up, in.up_stride);
    return small && !rotation.half_storage() && in.rows.dtype != DType::F32 && in_fours(in.rows) &&
           up_in_fours && fits_registers(target);
}

void rotate_quantize_registers(const Rotation& rotation, const RotateInput& in,
                               const QuantizeTarget& target, Stream stream) {
    const int64_t rows = in.rows.rows, cols = in.rows.cols;
    require(cols % rotation.block() == 0, "rotate: columns in whole blocks");
    RegisterArguments a{.in = in.rows, .up = in.up, .up_stride = in.up_stride};
    if (!rotation.identity()) {
        a.block = static_cast<int>(rotation.n());
        a.factor = rotation.sylvester_factor();
    }
    if (takes_clusters(rows, cols, target)) return launch_clusters(a, target, stream);
    with_fours<true>(rows, cols, [&]<int kFours>() {
        const LaunchShape shape{.grid = static_cast<unsigned>(rows),
                                .block = threads_for_fours(cols, kFours)};
        with_groups(target, [&]<bool kGrouped>() {
            launch("rotate_registers", rotate_registers<kFours, kGrouped>, shape, stream, a,
                   target);
        });
    });
}

}  // namespace quarot::kernels::cuda
