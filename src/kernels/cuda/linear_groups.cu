// Products of many tokens with groups of 128 columns on both sides, exact: each group's integer sum
// is scaled and added in fp32, in order. A tile is as in linear_tile.cu; a stage of its ring is one
// group and brings the group's factors too. While one warpgroup scales its sums the other's
// products run: the ordinary arithmetic units set the pace.
#include "kernels/cuda/device/griddep.cuh"
#include "kernels/cuda/device/wgmma.cuh"
#include "kernels/cuda/linear_kernels.h"
#include "kernels/cuda/linear_tile.cuh"

namespace quarot::kernels::cuda {

namespace {

// Behind the tile's own memory: for each stage scales and sums of 128 rows, then scale and
// correction of each token.
struct GroupTile : Tile<128, 5, 1, 1, 128, 1> {
    static constexpr int kRowBytes = 512, kFactorStage = 2 * kRowBytes + 8 * kTokens;
    static constexpr int kGroups = (kSums + 16 + 127) / 128 * 128;
    static constexpr int kGroupSharedBytes = kGroups + kStages * kFactorStage + 1024;
    static constexpr int kGatherThreads = 64;
    static constexpr int kArrivals = 1 + kGatherThreads / 32 * kWarpArrivals;
};
using T = GroupTile;

// How groups differ from whole rows.
struct GroupProblem {
    TileProblem tile;
    int64_t row_pitch;  // of scales and sums of rows
    int n_groups;       // of scales and sums of tokens
    int32_t row_zero;   // of every weight
};

__device__ uint32_t factors_of(uint32_t shared, int stage) {
    return shared + T::kGroups + stage * T::kFactorStage;
}

__device__ void init_group_barriers(uint32_t shared) {
    for (int s = 0; s < T::kStages; ++s) {
        barrier_init(shared + T::kFull + 8 * s, T::kArrivals);
        barrier_init(shared + T::kEmpty + 8 * s, 4 * T::kWarpgroups * kWarpArrivals);
    }
    for (int b = 0; b < T::kWarpgroups * T::kPieces; ++b) {
        barrier_init(shared + T::kResidual + 8 * b, 1);
    }
    barrier_init_fence();
}

// One thread: weights with their scales and sums.
__device__ void produce_weights(const GroupProblem& g, uint32_t shared) {
    const TileProblem& p = g.tile;
    const Schedule<T> schedule(p);
    RingCursor<T> at{0, 1};
    for (int tile = schedule.first; tile < schedule.n_tiles; tile += schedule.step) {
        const int block = schedule.place(tile).block;
        for (int k = 0; k < p.stages; ++k, at.advance()) {
            const uint32_t full = shared + T::kFull + 8 * at.stage;
            const uint32_t to = shared + at.stage * T::kStageBytes + T::kTokenBytes;
            barrier_wait(shared + T::kEmpty + 8 * at.stage, at.parity);
            barrier_expect(full, T::kStageBytes + 2 * T::kRowBytes);
            for (int b = 0; b < T::kWarpgroups; ++b) {
                const int64_t row = min(block + b, p.row_blocks - 1);
                copy_run(to + b * T::kUnitBytes, p.units + (row * p.stages + k) * T::kUnitBytes,
                         T::kUnitBytes, full);
            }
            const int64_t first = k * g.row_pitch + block * 64;
            const uint32_t factors = factors_of(shared, at.stage);
            copy_run(factors, p.factors.row_scales + first, T::kRowBytes, full);
            copy_run(factors + T::kRowBytes, p.factors.row_sums + first, T::kRowBytes, full);
        }
    }
}

// One thread: the codes of the tokens.
__device__ void produce_tokens(const TileProblem& p, uint32_t shared) {
    const Schedule<T> schedule(p);
    RingCursor<T> at{0, 1};
    wait_for_predecessor();
    for (int tile = schedule.first; tile < schedule.n_tiles; tile += schedule.step) {
        const int token = schedule.place(tile).token;
        for (int k = 0; k < p.stages; ++k, at.advance()) {
            barrier_wait(shared + T::kEmpty + 8 * at.stage, at.parity);
            copy_box<1>(shared + at.stage * T::kStageBytes, &p.tokens, k * 128, token,
                        shared + T::kFull + 8 * at.stage);
        }
    }
}

// Two warps: the factors of the tokens, which lie a row of groups apart. The next group's are on
// their way while the stage is waited for.
struct TokenGather {
    const GroupProblem& g;
    static constexpr int kOfThread = T::kTokens / T::kGatherThreads;
    float scales[kOfThread];
    int32_t sums[kOfThread];

    __device__ void request(int first_token, int group) {
#pragma unroll
        for (int i = 0; i < kOfThread; ++i) {
            const int token = first_token + static_cast<int>(threadIdx.x) % T::kGatherThreads +
                              i * T::kGatherThreads;
            const int64_t index =
                static_cast<int64_t>(min(token, g.tile.n_tokens - 1)) * g.n_groups + group;
            scales[i] = load_fresh(g.tile.factors.token_scales + index);
            sums[i] = load_fresh(g.tile.factors.token_sums + index);
        }
    }
    __device__ void write(uint32_t to) const {
#pragma unroll
        for (int i = 0; i < kOfThread; ++i) {
            const int token =
                static_cast<int>(threadIdx.x) % T::kGatherThreads + i * T::kGatherThreads;
            const int32_t correction = (sums[i] + g.tile.factors.code_bias * 128) * g.row_zero;
            asm volatile("st.shared.v2.b32 [%0], {%1, %2};" ::"r"(to + 8 * token),
                         "r"(__float_as_int(scales[i])), "r"(correction)
                         : "memory");
        }
    }
};

__device__ void produce_token_factors(const GroupProblem& g, uint32_t shared) {
    const TileProblem& p = g.tile;
    const Schedule<T> schedule(p);
    RingCursor<T> at{0, 1};
    TokenGather gather{g};
    wait_for_predecessor();
    for (int tile = schedule.first; tile < schedule.n_tiles; tile += schedule.step) {
        const int token = schedule.place(tile).token;
        for (int k = 0; k < p.stages; ++k, at.advance()) {
            gather.request(token, k);
            barrier_wait(shared + T::kEmpty + 8 * at.stage, at.parity);
            gather.write(factors_of(shared, at.stage) + 2 * T::kRowBytes);
            __syncwarp();
            if (kWarpArrivals == 32 || threadIdx.x % 32 == 0) {
                barrier_arrive(shared + T::kFull + 8 * at.stage);
            }
        }
    }
}

// y += (float(sum - corrections) * scale of the row) * scale of the token, for a thread's 64.
__device__ __forceinline__ void add_group(float (&y)[T::kTokens / 2],
                                          const int32_t (&d)[T::kTokens / 2], uint32_t factors,
                                          int row, int32_t code_bias) {
    float row_scale[2];
    int32_t row_fix[2];
#pragma unroll
    for (int h = 0; h < 2; ++h) {
        asm volatile("ld.shared.f32 %0, [%1];"
                     : "=f"(row_scale[h])
                     : "r"(factors + 4 * (row + 8 * h))
                     : "memory");
        asm volatile("ld.shared.s32 %0, [%1];"
                     : "=r"(row_fix[h])
                     : "r"(factors + T::kRowBytes + 4 * (row + 8 * h))
                     : "memory");
        row_fix[h] *= code_bias;
    }
    const uint32_t tokens = factors + 2 * T::kRowBytes + 16 * (threadIdx.x % 4);
#pragma unroll
    for (int n = 0; n < T::kTokens / 8; ++n) {
        const uint4 pair = load_shared(tokens + 64 * n);
        const float scale[2] = {__int_as_float(pair.x), __int_as_float(pair.z)};
        const int32_t fix[2] = {static_cast<int32_t>(pair.y), static_cast<int32_t>(pair.w)};
#pragma unroll
        for (int h = 0; h < 2; ++h) {
#pragma unroll
            for (int i = 0; i < 2; ++i) {
                const int index = 4 * n + 2 * h + i;
                const float sum = __int2float_rn(d[index] - fix[i] - row_fix[h]);
                y[index] = __fadd_rn(y[index], __fmul_rn(__fmul_rn(sum, row_scale[h]), scale[i]));
            }
        }
    }
}

__device__ void consume(const TileProblem& p, uint32_t shared) {
    const int warpgroup = threadIdx.x / 128 - 1, thread = threadIdx.x % 128;
    const int row = 64 * warpgroup + 16 * (thread / 32) + thread % 32 / 4;
    const Schedule<T> schedule(p);
    Pieces<T> pieces{p, shared, warpgroup};
    RingCursor<T> at;
    for (int tile = schedule.first; tile < schedule.n_tiles; tile += schedule.step) {
        Place place = schedule.place(tile);
        place.block += warpgroup;
        const ThreadRows rows(p, place.block);
        if (p.elements.accumulate && p.elements.dtype != DType::F32 && thread == 0) {
            pieces.request_first(place);
        }
        float y[T::kTokens / 2] = {};
        for (int k = 0; k < p.stages; ++k, at.advance()) {
            barrier_wait(shared + T::kFull + 8 * at.stage, at.parity);
            const uint32_t stage = shared + at.stage * T::kStageBytes;
            const uint32_t unit = stage + T::kTokenBytes + warpgroup * T::kUnitBytes + thread * 16;
            const uint64_t tokens = swizzled_operand(stage);
            uint32_t a[2][8];
            widen_unit<1>(a[0], unit);
            widen_unit<1>(a[1], unit + 2048);
            int32_t d[T::kTokens / 2];
            wgmma_fence();
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                wgmma_u8(d, a[half], tokens + 4 * half, half);
                wgmma_u8(d, a[half] + 4, tokens + 4 * half + 2, 1);
            }
            wgmma_commit();
            wgmma_wait<0>();
            add_group(y, d, factors_of(shared, at.stage), row, p.factors.code_bias);
            release_stage<T>(shared, at.stage, thread % 32);
        }
        const auto block = [&](int n, float(&out)[2][2]) {
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                out[i / 2][i % 2] = __fadd_rn(y[n / 2 + i], rows.factors[i / 2].bias);
            }
        };
        store_tile<T>(pieces, block, rows.first, place);
    }
    if (thread == 0) wait_stores();
}

__global__ void __launch_bounds__(T::kThreads, 1)
    linear_groups(const __grid_constant__ GroupProblem problem) {
    extern __shared__ uint8_t memory[];
    const uint32_t shared = (shared_address(memory) + 1023) & ~1023u;
    if (threadIdx.x == 0) init_group_barriers(shared);
    let_successor_start();
    __syncthreads();
    if (threadIdx.x < 128) {
        asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kProducerRegisters));
        if (threadIdx.x == 0) produce_weights(problem, shared);
        if (threadIdx.x == 32) produce_tokens(problem.tile, shared);
        if (threadIdx.x >= 64) produce_token_factors(problem, shared);
    } else {
        asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kConsumerRegisters));
        wait_for_predecessor();
        consume(problem.tile, shared);
    }
}

}  // namespace

void launch_groups(const LinearProduct& product, Stream stream) {
    GroupProblem problem = {.tile = describe<T>(product),
                            .row_pitch = product.weight.shape.row_pitch(),
                            .n_groups = static_cast<int>(product.in.n_groups()),
                            .row_zero = 1 << (product.weight.shape.bits - 1)};
    const int tiles = (problem.tile.n_tokens + T::kTokens - 1) / T::kTokens *
                      ((problem.tile.n_rows + T::kRows - 1) / T::kRows);
    launch("linear_groups", linear_groups,
           {.grid = static_cast<unsigned>(min(tiles, current_device().multiprocessors)),
            .block = T::kThreads,
            .shared_bytes = T::kGroupSharedBytes},
           stream, problem);
}

}  // namespace quarot::kernels::cuda
