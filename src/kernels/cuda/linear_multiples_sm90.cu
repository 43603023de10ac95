// Products of many tokens in multiples by warpgroups (compute capability 9.0), as
// linear_multiple_tile.cu has them: the sums of a group of the weights are exact, and added in fp32
// in order.
//
// The planes a and b of 64 tokens, v = 256 a + b, are the 128 columns of one operand B, so that a
// thread's sums of both lie in its own registers: three operations make an output's term of them.
// What a does not hold of 8-bit codes comes from a third plane, in tiles that have such a row:
// another operand B, which adds zeros to the sums of b.
//
// A tile is as in linear_tile.cu, of three blocks of rows for three warpgroups, so that two of them
// add while the products of the third run. A stage of the ring is 128 columns and brings the scales
// and zero points of its groups.
#include "kernels/cuda/device/griddep.cuh"
#include "kernels/cuda/device/signed_weights.cuh"
#include "kernels/cuda/device/wgmma.cuh"
#include "kernels/cuda/linear_group_pieces.h"
#include "kernels/cuda/linear_kernels.h"
#include "kernels/cuda/linear_tile.cuh"

namespace quarot::kernels::cuda {

namespace {

// Behind the tile's own memory, for each stage: zeros and the third plane, then scales and zero
// points of the rows, by block and group.
struct MultipleTile : Tile<128, 4, 1, 1, 64, 1, 1, 3> {
    static constexpr int kColumns = 128, kTokens = kColumns / 2;
    static constexpr int kPlaneBytes = kTokens * 128;
    static constexpr int kGroups = 4;  // of a stage, at most
    static constexpr int kScaleBlock = 256 * kGroups, kZeroBlock = 64 * kGroups;
    static constexpr int kZeros = kWarpgroups * kScaleBlock;
    static constexpr int kFactorStage = kZeros + kWarpgroups * kZeroBlock;
    static constexpr int kThird = (kSums + 16 + 1023) / 1024 * 1024;
    static constexpr int kRowFactors = kThird + kStages * kTokenBytes;
    static constexpr int kAllBytes = kRowFactors + kStages * kFactorStage + 1024;
    static constexpr int kOfThread = kTokens / 2;  // outputs of a thread
    static constexpr int kProducerRegisters = 32, kConsumerRegisters = 160;
    static_assert(kAllBytes <= 232448 && kFactorStage % 128 == 0);
};
using T = MultipleTile;

struct MultiplesProblem {
    TileProblem tile;       // whose tokens are the first plane
    CUtensorMap planes[2];  // the second and the third
    const RowUnit* token_units;
    int groups;     // of a row
    int row_shift;  // as PieceGroups has it
    int pieces;
};

__device__ void init_barriers(uint32_t shared) {
    for (int s = 0; s < T::kStages; ++s) {
        barrier_init(shared + T::kFull + 8 * s, 2);
        barrier_init(shared + T::kEmpty + 8 * s, 4 * T::kWarpgroups * kWarpArrivals);
    }
    for (int b = 0; b < T::kWarpgroups * T::kPieces; ++b) {
        barrier_init(shared + T::kResidual + 8 * b, 1);
    }
    barrier_init_fence();
}

// The zeros beside the third planes.
__device__ void write_zeros(uint32_t shared) {
    constexpr int kChunks = T::kPlaneBytes / 16;
    for (int i = threadIdx.x; i < T::kStages * kChunks; i += T::kThreads) {
        store_shared(shared + T::kThird + i / kChunks * T::kTokenBytes + i % kChunks * 16, uint4{});
    }
    fence_for_copy_engine();
}

__device__ uint32_t factors_of(uint32_t shared, int stage) {
    return shared + T::kRowFactors + stage * T::kFactorStage;
}

// Whether one of the tile's tokens has a third plane. All lanes of a warp call it.
__device__ __forceinline__ bool has_wide_token(const MultiplesProblem& m, int first) {
    bool wide = false;
#pragma unroll
    for (int i = 0; i < T::kTokens; i += 32) {
        const int token = min(first + i + static_cast<int>(threadIdx.x) % 32, m.tile.n_tokens - 1);
        wide |= load_fresh(&m.token_units[token].planes) == 3;
    }
    return __any_sync(~0u, wide);
}

// One thread: weights with their scales and zero points. kPieces: of a stage.
template <int kPieces>
__device__ void produce_weights(const MultiplesProblem& m, uint32_t shared) {
    const TileProblem& p = m.tile;
    const Schedule<T> schedule(p);
    RingCursor<T> at{0, 1};
    for (int tile = schedule.first; tile < schedule.n_tiles; tile += schedule.step) {
        const Place place = schedule.place(tile);
        const TilePart& part = p.parts[place.part];
        for (int k = 0; k < p.stages; ++k, at.advance()) {
            const uint32_t full = shared + T::kFull + 8 * at.stage;
            const uint32_t to = shared + at.stage * T::kStageBytes + T::kTokenBytes;
            const uint32_t factors = factors_of(shared, at.stage);
            const int group = k * kPieces >> m.row_shift;
            const int count = min(max(1, kPieces >> m.row_shift), m.groups - group);
            barrier_wait(shared + T::kEmpty + 8 * at.stage, at.parity);
            barrier_expect(full, T::kWarpgroups * (T::kUnitBytes + count * 320));
            for (int b = 0; b < T::kWarpgroups; ++b) {
                const int64_t from = min(place.block + b, part.row_blocks - 1);
                copy_run(to + b * T::kUnitBytes, part.units + (from * p.stages + k) * T::kUnitBytes,
                         T::kUnitBytes, full);
                const int64_t first = (from * m.groups + group) * 64;
                copy_run(factors + b * T::kScaleBlock, part.factors.row_scales + first, count * 256,
                         full);
                copy_run(factors + T::kZeros + b * T::kZeroBlock, part.factors.row_zeros + first,
                         count * 64, full);
            }
        }
    }
}

// One warp, whose first lane copies: the planes of the tokens.
__device__ void produce_tokens(const MultiplesProblem& m, uint32_t shared) {
    const TileProblem& p = m.tile;
    const Schedule<T> schedule(p);
    RingCursor<T> at{0, 1};
    wait_for_predecessor();
    for (int tile = schedule.first; tile < schedule.n_tiles; tile += schedule.step) {
        const int token = schedule.place(tile).token;
        const bool wide = has_wide_token(m, token);
        if (threadIdx.x % 32 > 0) continue;
        for (int k = 0; k < p.stages; ++k, at.advance()) {
            const uint32_t full = shared + T::kFull + 8 * at.stage;
            const uint32_t to = shared + at.stage * T::kStageBytes;
            barrier_wait(shared + T::kEmpty + 8 * at.stage, at.parity);
            barrier_expect(full, (wide ? 3 : 2) * T::kPlaneBytes);
            copy_box<1>(to, &p.tokens, k * 128, token, full);
            copy_box<1>(to + T::kPlaneBytes, &m.planes[0], k * 128, token, full);
            if (wide) {
                copy_box<1>(shared + T::kThird + at.stage * T::kTokenBytes + T::kPlaneBytes,
                            &m.planes[1], k * 128, token, full);
            }
        }
    }
}

// A thread's two rows in a piece.
struct PieceRows {
    float scale[2];
    uint32_t zeros[2];  // four times each

    // factors: of the warpgroup's block in the stage.
    __device__ __forceinline__ PieceRows(uint32_t scales, uint32_t zero_points, int group,
                                         int row) {
#pragma unroll
        for (int h = 0; h < 2; ++h) {
            const int at = group * 64 + row + 8 * h;
            scale[h] = __uint_as_float(load_shared_word(scales + at * 4));
            zeros[h] = 0x01010101u * load_shared_byte(zero_points + at);
        }
    }
};

// Sums of a thread, of both planes.
struct PlaneSums {
    int32_t low[T::kOfThread], high[T::kOfThread];
};

// Of a piece of kSteps steps of 32 columns, the first of which is `first` in the stage.
template <int kSteps, bool kWide>
__device__ __forceinline__ void multiply_piece(PlaneSums& d, uint32_t unit, const PieceRows& rows,
                                               int first, uint64_t tokens, uint64_t third) {
    uint32_t a[kSteps][4];
    uint4 four = {};
#pragma unroll
    for (int q = 0; q < kSteps; ++q) {
        if (q % 2 == 0) four = load_shared(unit + (first + q) / 2 * 2048);
        const uint32_t words[4] = {four.x, four.y, four.z, four.w};
        const int shift = kSteps == 1 ? first % 2 * 4 : q % 2 * 4;
#pragma unroll
        for (int j = 0; j < 4; ++j) {
            a[q][j] = signed_weights(words[j], shift, rows.zeros[j % 2]);
        }
    }
    wgmma_fence();
#pragma unroll
    for (int q = 0; q < kSteps; ++q) {
        wgmma_s8(d.low, d.high, a[q], tokens + 2 * (first + q), q > 0);
    }
    if constexpr (kWide) {
#pragma unroll
        for (int q = 0; q < kSteps; ++q) wgmma_s8(d.low, d.high, a[q], third + 2 * (first + q), 1);
    }
    wgmma_commit();
    wgmma_wait<0>();
}

// Adds the terms of a stage that has so many pieces.
template <int kSteps, bool kWide>
__device__ __forceinline__ void add_stage(float (&y)[T::kOfThread], const MultiplesProblem& m,
                                          uint32_t shared, int stage, int pieces, int warpgroup) {
    const int thread = threadIdx.x % 128, row = 16 * (thread / 32) + thread % 32 / 4;
    const uint32_t bytes = shared + stage * T::kStageBytes, factors = factors_of(shared, stage);
    const uint32_t unit = bytes + T::kTokenBytes + warpgroup * T::kUnitBytes + thread * 16;
    const uint64_t tokens = swizzled_operand(bytes);
    const uint64_t third = swizzled_operand(shared + T::kThird + stage * T::kTokenBytes);
#pragma unroll 1
    for (int piece = 0; piece < pieces; ++piece) {
        const PieceRows rows(factors + warpgroup * T::kScaleBlock,
                             factors + T::kZeros + warpgroup * T::kZeroBlock, piece >> m.row_shift,
                             row);
        PlaneSums d;
        multiply_piece<kSteps, kWide>(d, unit, rows, piece * kSteps, tokens, third);
#pragma unroll
        for (int i = 0; i < T::kOfThread; ++i) {
            const float exact = __int2float_rn(d.low[i] + d.high[i] * 256);
            y[i] = __fmaf_rn(exact, rows.scale[i / 2 % 2], y[i]);
        }
    }
}

// Adds the terms of a tile.
template <int kSteps, bool kWide>
__device__ __forceinline__ void add_stages(float (&y)[T::kOfThread], const MultiplesProblem& m,
                                           uint32_t shared, RingCursor<T>& at, int warpgroup) {
    constexpr int kPieces = 4 / kSteps, kOfSegment = kSegmentColumns / 128;
    float segment[T::kOfThread] = {};
    for (int k = 0; k < m.tile.stages; ++k, at.advance()) {
        const int pieces = min(m.pieces - k * kPieces, kPieces);
        barrier_wait(shared + T::kFull + 8 * at.stage, at.parity);
        add_stage<kSteps, kWide>(segment, m, shared, at.stage, pieces, warpgroup);
        release_stage<T>(shared, at.stage, threadIdx.x % 32);
        if ((k + 1) % kOfSegment > 0 && k + 1 < m.tile.stages) continue;
#pragma unroll
        for (int i = 0; i < T::kOfThread; ++i) {
            y[i] = __fadd_rn(y[i], segment[i]);
            segment[i] = 0.0f;
        }
    }
}

template <int kSteps>
__device__ void consume(const MultiplesProblem& m, uint32_t shared) {
    const TileProblem& p = m.tile;
    // Known to be the same in all lanes: descriptors of operands are numbers of a warp.
    const int warpgroup = __shfl_sync(~0u, static_cast<int>(threadIdx.x) / 128 - 1, 0);
    const int thread = threadIdx.x % 128;
    const Schedule<T> schedule(p);
    Pieces<T> pieces{p, shared, warpgroup};
    RingCursor<T> at;
    for (int tile = schedule.first; tile < schedule.n_tiles; tile += schedule.step) {
        Place place = schedule.place(tile);
        place.block += warpgroup;
        const TilePart& part = p.parts[place.part];
        if (part.elements.accumulate && part.elements.dtype != DType::F32 && thread == 0) {
            pieces.request_first(place);
        }
        float y[T::kOfThread] = {};
        if (has_wide_token(m, place.token)) {
            add_stages<kSteps, true>(y, m, shared, at, warpgroup);
        } else {
            add_stages<kSteps, false>(y, m, shared, at, warpgroup);
        }
        const ThreadRows rows(part, place.block);
        const auto block = [&](int n, float(&out)[2][2]) {
#pragma unroll
            for (int i = 0; i < 2; ++i) {
                const int token = min(place.token + n + 2 * (thread % 4) + i, p.n_tokens - 1);
                const float unit = load_fresh(&m.token_units[token].unit);
#pragma unroll
                for (int h = 0; h < 2; ++h) {
                    out[h][i] =
                        __fadd_rn(__fmul_rn(y[n / 2 + 2 * h + i], unit), rows.factors[h].bias);
                }
            }
        };
        store_tile<T>(pieces, block, rows.first, place);
    }
    if (thread == 0) wait_stores();
}

template <int kSteps>
__global__ void __launch_bounds__(T::kThreads, 1)
    linear_multiples(const __grid_constant__ MultiplesProblem problem) {
    extern __shared__ uint8_t memory[];
    const uint32_t shared = (shared_address(memory) + 1023) & ~1023u;
    if (threadIdx.x == 0) init_barriers(shared);
    write_zeros(shared);
    let_successor_start();
    __syncthreads();
    if (threadIdx.x < 128) {
        asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(T::kProducerRegisters));
        if (threadIdx.x == 0) produce_weights<4 / kSteps>(problem, shared);
        if (threadIdx.x / 32 == 1) produce_tokens(problem, shared);
    } else {
        asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(T::kConsumerRegisters));
        wait_for_predecessor();
        consume<kSteps>(problem, shared);
    }
}

CUtensorMap plane_map(const ActivationView& in, int plane) {
    return make_tensor_map({.data = in.multiples + plane * in.stride,
                            .dtype = DType::U8,
                            .cols = in.cols,
                            .rows = in.rows,
                            .stride = in.stride * multiple_planes(in.bits),
                            .box_cols = 128,
                            .box_rows = T::kTokens});
}

template <int kSteps>
void launch_steps(std::span<const LinearProduct> products, Stream stream) {
    const LinearProduct& first = products.front();
    const PieceGroups groups = multiple_pieces(first);
    const int last_plane = multiple_planes(first.in.bits) - 1;
    MultiplesProblem problem = {.tile = describe<T>(products),
                                .planes = {plane_map(first.in, 1), plane_map(first.in, last_plane)},
                                .token_units = first.in.row_units,
                                .groups = groups.of_row,
                                .row_shift = groups.row_shift,
                                .pieces = groups.pieces};
    problem.tile.tokens = plane_map(first.in, 0);
    launch("linear_multiples", linear_multiples<kSteps>,
           {.grid = static_cast<unsigned>(
                min(tiles_of<T>(problem.tile), current_device().multiprocessors)),
            .block = T::kThreads,
            .shared_bytes = T::kAllBytes},
           stream, problem);
}

}  // namespace

void launch_multiples_sm90(std::span<const LinearProduct> products, Stream stream) {
    switch (multiple_piece_columns(products.front())) {
        case 32:
            return launch_steps<1>(products, stream);
        case 64:
            return launch_steps<2>(products, stream);
        default:
            launch_steps<4>(products, stream);
    }
}

}  // namespace quarot::kernels::cuda
