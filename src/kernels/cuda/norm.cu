#include <cuda_runtime.h>

#include "kernels/cuda/block_reduce.cuh"
#include "kernels/cuda/device/griddep.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/norm.h"
#include "kernels/cuda/register_row.cuh"
#include "kernels/cuda/row_access.cuh"
#include "kernels/cuda/row_blocks.h"
#include "kernels/cuda/shared_row.cuh"

namespace quarot::kernels::cuda {

namespace {

// x * factor is x / sqrt(mean(x^2) + eps) with power * rest = factor: a power of two that is exact,
// and what remains.
struct NormFactor {
    float power, rest;
    __device__ float operator()(float x) const { return x * power * rest; }
};

// The power of two that brings the largest |x| near 1.
__device__ float power_for(float largest) {
    if (largest == 0.0f || !isfinite(largest)) return 1.0f;
    return exp2f(static_cast<float>(min(-ilogbf(largest), 126)));
}

// The values of a row that a team shares: each(use) hands those of the calling thread to a
// function, sum(team, add) adds up terms of all.
template <class EachValue>
struct ValuesOfRow {
    EachValue each;

    template <class Team, class Add>
    __device__ float sum(Team& team, const Add& add) const {
        float sum = 0.0f;
        each([&](float x) { sum = add(sum, x); });
        return team.sum(sum);
    }
};
template <class EachValue>
ValuesOfRow(EachValue) -> ValuesOfRow<EachValue>;

template <class Team, class Row>
__device__ float mean_of_squares(Team& team, int64_t n, float power, const Row& row) {
    const float squares = row.sum(team, [power](float sum, float x) {
        const float scaled = x * power;
        return fmaf(scaled, scaled, sum);
    });
    return __fdiv_rn(squares, static_cast<float>(n));
}

// A mean that overflowed, or so small that squares have vanished and eps does not outweigh them, is
// taken again after a power of two.
template <class Team, class Row>
__device__ NormFactor norm_factor(Team& team, int64_t n, float eps, const Row& row) {
    float mean = mean_of_squares(team, n, 1.0f, row), power = 1.0f;
    if (!(mean < INFINITY) || fmaxf(mean, eps) < 0x1p-80f) {
        KeyRange range;
        // A NaN is left out here and comes back through the sum.
        row.each([&](float x) { range.include(isnan(x) ? 0 : __float_as_int(fabsf(x))); });
        power = power_for(__int_as_float(team.range(range).high));
        mean = mean_of_squares(team, n, power, row);
    }
    return {power, __fdiv_rn(1.0f, __fsqrt_rn(mean + eps * power * power))};
}

// Reads the block's row, adds the residual and keeps both: floats in shared memory.
__device__ void load_row(const NormInput& a, float* row, bool fours) {
    const int64_t cols = a.in.cols, step = 4 * static_cast<int64_t>(blockDim.x);
    for (int64_t c = 4 * threadIdx.x; c < cols; c += step) {
        float4 x = load_four(a.in, blockIdx.x, c, fours);
        if (a.residual != nullptr) {
            if (a.bias != nullptr) {
                const float4 bias = load_four(a.bias, c, cols, fours);
                x = {x.x + bias.x, x.y + bias.y, x.z + bias.z, x.w + bias.w};
            }
            float* residual = a.residual + blockIdx.x * a.residual_stride;
            const float4 old = load_four(residual, c, cols, fours);
            x = {x.x + old.x, x.y + old.y, x.z + old.z, x.w + old.w};
            store_four(residual, c, cols, fours, x);
        }
        *reinterpret_cast<float4*>(row + c) = x;
    }
}

// Visits the row four by four as this thread has loaded it; past the last column there are zeros.
template <class Visit>
__device__ void for_own_fours(float* row, int64_t cols, const Visit& visit) {
    const int64_t step = 4 * static_cast<int64_t>(blockDim.x);
    for (int64_t c = 4 * threadIdx.x; c < cols; c += step) {
        visit(c, *reinterpret_cast<float4*>(row + c));
    }
}

// Subtracts the row's mean. Terms are divided before they are added, so that no finite row
// overflows; past the last column zeros stay.
__device__ void centre_row(float* row, int64_t cols, BlockTeam& block) {
    const float share = __fdiv_rn(1.0f, static_cast<float>(cols));
    float sum = 0.0f;
    for_own_fours(row, cols, [&](int64_t, const float4& x) {
        sum += (x.x * share + x.y * share) + (x.z * share + x.w * share);
    });
    const float mean = block.sum(sum);
    for_own_fours(row, cols, [&](int64_t c, float4& x) {
        x.x -= mean;
        if (c + 1 < cols) x.y -= mean;
        if (c + 2 < cols) x.z -= mean;
        if (c + 3 < cols) x.w -= mean;
    });
}

// Leaves the normalized row in shared memory.
__device__ void normalize_row(const NormInput& a, float* row, BlockTeam& block, bool fours) {
    load_row(a, row, fours);
    const int64_t cols = a.in.cols;
    if (a.centred) centre_row(row, cols, block);
    const ValuesOfRow values = {[&](const auto& use) {
        for_own_fours(row, cols, [&](int64_t, const float4& x) {
            use(x.x);
            use(x.y);
            use(x.z);
            use(x.w);
        });
    }};
    const NormFactor factor = norm_factor(block, cols, a.eps, values);
    for_own_fours(row, cols, [&](int64_t c, float4& x) {
        x = {factor(x.x), factor(x.y), factor(x.z), factor(x.w)};
        if (a.gain != nullptr) {
            const float4 gain = load_four(a.gain, c, cols, fours);
            x = {x.x * gain.x, x.y * gain.y, x.z * gain.z, x.w * gain.w};
        }
        if (a.shift == nullptr) return;
        const float4 shift = load_four(a.shift, c, cols, fours);
        x = {x.x + shift.x, x.y + shift.y, x.z + shift.z, x.w + shift.w};
    });
}

__global__ void norm_row(const __grid_constant__ NormInput a, const __grid_constant__ RowsView out,
                         bool fours, bool out_fours) {
    extern __shared__ __align__(16) float row[];
    __shared__ BlockScratch scratch;
    BlockTeam block(scratch);
    let_successor_start();
    wait_for_predecessor();
    normalize_row(a, row, block, fours);
    const int64_t step = 4 * static_cast<int64_t>(blockDim.x);
    for (int64_t c = 4 * threadIdx.x; c < out.cols; c += step) {
        store_four(out, blockIdx.x, c, out_fours, *reinterpret_cast<const float4*>(row + c));
    }
}

__global__ void __launch_bounds__(kMostRowThreads)
    norm_quantize_row(const __grid_constant__ NormInput a,
                      const __grid_constant__ QuantizeTarget target, bool fours) {
    extern __shared__ __align__(16) float row[];
    __shared__ BlockScratch scratch;
    BlockTeam block(scratch);
    let_successor_start();
    wait_for_predecessor();
    normalize_row(a, row, block, fours);
    SharedRowQuantizer{target, row, blockIdx.x}.run(block);
}

// Reads the block's row into registers, adds the residual and keeps the sum there. All loads come
// before the first use of one.
template <typename T, int kFours>
__device__ __forceinline__ void load_row_of(const NormInput& a, RegisterRow<kFours>& row) {
    const int64_t cols = a.in.cols;
    const T* in = static_cast<const T*>(a.in.data) + blockIdx.x * a.in.stride;
    float* residual = a.residual + blockIdx.x * a.residual_stride;
    Four<T> read[kFours] = {};
    float4 old[kFours] = {};
#pragma unroll
    for (int i = 0; i < kFours; ++i) {
        const int64_t c = row.column(i);
        if (c < cols) read[i] = *reinterpret_cast<const Four<T>*>(in + c);
        if (c < cols && a.residual != nullptr) {
            old[i] = *reinterpret_cast<const float4*>(residual + c);
        }
    }
#pragma unroll
    for (int i = 0; i < kFours; ++i) {
        const int64_t c = row.column(i);
        float4& x = row.x[i];
        x = to_floats(read[i]);
        if (c >= cols || a.residual == nullptr) continue;
        if (a.bias != nullptr) {
            const float4 bias = *reinterpret_cast<const float4*>(a.bias + c);
            x = {x.x + bias.x, x.y + bias.y, x.z + bias.z, x.w + bias.w};
        }
        x = {x.x + old[i].x, x.y + old[i].y, x.z + old[i].z, x.w + old[i].w};
        *reinterpret_cast<float4*>(residual + c) = x;
    }
}

template <int kFours>
__device__ void normalize(const NormInput& a, RegisterRow<kFours>& row, BlockTeam& block) {
    const int64_t cols = a.in.cols;
    const NormFactor factor = norm_factor(block, cols, a.eps, row);
#pragma unroll
    for (int i = 0; i < kFours; ++i) {
        float4& x = row.x[i];
        x = {factor(x.x), factor(x.y), factor(x.z), factor(x.w)};
        if (a.gain == nullptr || row.column(i) >= cols) continue;
        const float4 gain = load_four(a.gain, row.column(i), cols, true);
        x = {x.x * gain.x, x.y * gain.y, x.z * gain.z, x.w * gain.w};
    }
}

template <int kFours, bool kGrouped>
__global__ void __launch_bounds__(most_threads(kFours), 1)
    norm_quantize_registers(const __grid_constant__ NormInput a,
                            const __grid_constant__ QuantizeTarget target) {
    __shared__ BlockScratch scratch;
    BlockTeam block(scratch);
    let_successor_start();
    RegisterRow<kFours> row = {};
#pragma unroll 1
    for (int turn = kFours >= 4 ? 1 : first_turn(gridDim.x); turn < 2; ++turn) {
        const bool real = turn == 1;
        if (real) {
            wait_for_predecessor();
            with_elements(a.in.dtype, [&]<typename T>() { load_row_of<T>(a, row); });
        }
        normalize(a, row, block);
        row.template quantize<kGrouped>(block, target, blockIdx.x, real);
    }
}

// One warp takes one group.
__global__ void norm_each_group(const __grid_constant__ GroupNormArgs a, int64_t n_groups) {
    let_successor_start();
    wait_for_predecessor();
    const int64_t index = (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) / 32;
    if (index >= a.in.rows * n_groups) return;
    const int64_t row = index / n_groups, first = index % n_groups * a.group;
    const auto stored = [&](int64_t i) {
        RowsView one = a.in;
        one.cols = first + i + 1;
        return load_four(one, row, first + i, false).x;
    };
    const int lane = threadIdx.x % 32;
    WarpTeam warp;
    float mean = 0.0f;
    if (a.centred) {
        const float share = __fdiv_rn(1.0f, static_cast<float>(a.group));
        float sum = 0.0f;
        for (int64_t i = lane; i < a.group; i += 32) sum += stored(i) * share;
        mean = warp.sum(sum);
    }
    const auto value = [&](int64_t i) { return stored(i) - mean; };
    const ValuesOfRow values = {[&](const auto& use) {
        for (int64_t i = lane; i < a.group; i += 32) use(value(i));
    }};
    const NormFactor factor = norm_factor(warp, a.group, a.eps, values);
    for (int64_t i = lane; i < a.group; i += 32) {
        RowsView one = a.out;
        one.cols = first + i + 1;
        const float gain = a.gain == nullptr ? 1.0f : __ldg(a.gain + i);
        const float shift = a.shift == nullptr ? 0.0f : __ldg(a.shift + i);
        const float y = __fadd_rn(__fmul_rn(factor(value(i)), gain), shift);
        store_four(one, row, first + i, false, {y, 0.0f, 0.0f, 0.0f});
    }
}

bool input_in_fours(const NormInput& in) {
    return in_fours(in.in) && in_fours<float>(in.gain, 0) && in_fours<float>(in.bias, 0) &&
           in_fours<float>(in.shift, 0) && in_fours<float>(in.residual, in.residual_stride);
}

void check_width(int64_t cols) {
    require(cols >= 1 && row_bytes(cols) <= current_device().shared_bytes - 1024, "norm: width");
}

}  // namespace

void norm(const NormInput& in, const RowsView& out, Stream stream) {
    require(in.in.rows == out.rows && in.in.cols == out.cols, "norm: shapes");
    check_width(out.cols);
    if (out.rows == 0) return;
    launch("norm_row", norm_row,
           {.grid = static_cast<unsigned>(out.rows),
            .block = threads_for_row(out.cols),
            .shared_bytes = row_bytes(out.cols)},
           stream, in, out, input_in_fours(in), in_fours(out));
}

void norm_quantize(const NormInput& in, const QuantizeTarget& target, Stream stream) {
    const ActivationView& out = target.codes;
    require(in.in.rows == out.rows && in.in.cols == out.cols, "norm_quantize: shapes");
    check_target(target);
    check_width(out.cols);
    if (out.rows == 0) return;
    // What is centred passes through shared memory.
    constexpr int64_t kMostColumns = 8192;  // what is added takes as many registers again
    if (fits_registers(target) && out.cols <= kMostColumns && !in.centred && input_in_fours(in)) {
        with_fours<false>(out.rows, out.cols, [&]<int kFours>() {
            const LaunchShape shape{.grid = static_cast<unsigned>(out.rows),
                                    .block = threads_for_fours(out.cols, kFours)};
            with_groups(target, [&]<bool kGrouped>() {
                launch("norm_quantize_registers", norm_quantize_registers<kFours, kGrouped>, shape,
                       stream, in, target);
            });
        });
        return;
    }
    launch("norm_quantize_row", norm_quantize_row,
           {.grid = static_cast<unsigned>(out.rows),
            .block = threads_for_row(out.cols),
            .shared_bytes = row_bytes(out.cols)},
           stream, in, target, input_in_fours(in));
}

void norm_groups(const GroupNormArgs& args, Stream stream) {
    require(args.group >= 1 && args.in.cols % args.group == 0 && args.in.rows == args.out.rows &&
                args.in.cols == args.out.cols,
            "norm_groups: shapes");
    const int64_t n_groups = args.in.cols / args.group, warps = args.in.rows * n_groups;
    if (warps == 0) return;
    constexpr int64_t kWarps = 8;
    launch("norm_each_group", norm_each_group,
           {.grid = static_cast<unsigned>(ceil_div(warps, kWarps)), .block = 32 * kWarps}, stream,
           args, n_groups);
}

}  // namespace quarot::kernels::cuda
