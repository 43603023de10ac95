// Products of many tokens on Hopper's warpgroup tensor cores.
//
// A tile is 128 rows of weights x kTokens tokens. Weights are operand A, widened from nibbles to
// bytes in registers; tokens are operand B in swizzled shared memory. Two producer threads keep a
// ring of stages of 128 columns filled by the copy engine, one with weights, also before the
// predecessor has ended, and one with tokens; two consumer warpgroups own 64 rows each and all of
// the tile's tokens. CTAs are persistent.
#include "kernels/cuda/device/cluster.cuh"
#include "kernels/cuda/device/griddep.cuh"
#include "kernels/cuda/device/mbarrier.cuh"
#include "kernels/cuda/device/memory.cuh"
#include "kernels/cuda/device/tma.cuh"
#include "kernels/cuda/device/wgmma.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/linear_kernels.h"
#include "kernels/cuda/linear_tile.cuh"

namespace quarot::kernels::cuda {

namespace {

// The stages of this CTA's share of the columns.
template <class T>
struct Columns {
    int first, count;

    __device__ explicit Columns(const TileProblem& p) : first(0), count(p.stages) {
        if constexpr (T::kSplit > 1) {
            const int rank = static_cast<int>(cluster_rank());
            first = rank * p.stages / T::kSplit;
            count = (rank + 1) * p.stages / T::kSplit - first;
        }
    }
};

template <class T>
__device__ void init_barriers(uint32_t shared) {
    for (int s = 0; s < T::kStages; ++s) {
        barrier_init(shared + T::kFull + 8 * s, 1);
        barrier_init(shared + T::kEmpty + 8 * s,
                     4 * T::kWarpgroups * T::kMulticast * kWarpArrivals);
    }
    for (int b = 0; b < T::kWarpgroups * T::kPieces; ++b) {
        barrier_init(shared + T::kResidual + 8 * b, 1);
    }
    for (int i = 0; i < 2; ++i) {
        barrier_init(shared + T::kSums + 8 * i, 4 * T::kWarpgroups * T::kSplit * kWarpArrivals);
    }
    barrier_init_fence();
}

// Two threads fill the ring, each at its own pace: weights depend on no predecessor. The phase of a
// stage ends when the bytes of both are there, whichever comes first.
template <class T>
__device__ void produce_weights(const TileProblem& p, uint32_t shared) {
    const Schedule<T> schedule(p);
    const Columns<T> columns(p);
    RingCursor<T> at{0, 1};
    for (int tile = schedule.first; tile < schedule.n_tiles; tile += schedule.step) {
        const Place place = schedule.place(tile);
        const TilePart& part = p.parts[place.part];
        const uint8_t* units[T::kWarpgroups];
        for (int b = 0; b < T::kWarpgroups; ++b) {
            const int64_t row = min(place.block + b, part.row_blocks - 1);
            units[b] = part.units + (row * p.stages + columns.first) * T::kUnitBytes;
        }
        for (int k = 0; k < columns.count; ++k, at.advance()) {
            const uint32_t full = shared + T::kFull + 8 * at.stage;
            const uint32_t to = shared + at.stage * T::kStageBytes + T::kTokenBytes;
            barrier_wait(shared + T::kEmpty + 8 * at.stage, at.parity);
            barrier_expect(full, T::kStageBytes);
            for (int b = 0; b < T::kWarpgroups; ++b) {
                copy_run(to + b * T::kUnitBytes, units[b] + static_cast<int64_t>(k) * T::kUnitBytes,
                         T::kUnitBytes, full);
            }
        }
    }
}

template <class T>
__device__ void produce_tokens(const TileProblem& p, uint32_t shared) {
    const Schedule<T> schedule(p);
    const Columns<T> columns(p);
    constexpr int kShare = T::kTokens / T::kMulticast;
    RingCursor<T> at{0, 1};
    wait_for_predecessor();
    for (int tile = schedule.first; tile < schedule.n_tiles; tile += schedule.step) {
        const int token = schedule.place(tile).token + schedule.rank * kShare;
        for (int k = 0; k < columns.count; ++k, at.advance()) {
            barrier_wait(shared + T::kEmpty + 8 * at.stage, at.parity);
            copy_box<T::kMulticast>(
                shared + at.stage * T::kStageBytes + schedule.rank * kShare * 128, &p.tokens,
                (columns.first + k) * 128, token, shared + T::kFull + 8 * at.stage);
        }
    }
}

// The products of a tile, all columns. Registers of operand A must not change
// while a product that reads them is in flight: they take turns.
template <class T>
struct TileProducts {
    uint32_t shared;
    int warpgroup;
    RingCursor<T> at;
    int previous = 0;  // stage

    __device__ uint32_t stage() const { return shared + at.stage * T::kStageBytes; }
    __device__ uint32_t unit(int half) const {
        return stage() + T::kTokenBytes + warpgroup * T::kUnitBytes + half * T::kUnitBytes / 2 +
               threadIdx.x % 128 * 16;
    }
    __device__ __forceinline__ void await_stage() const {
        barrier_wait(shared + T::kFull + 8 * at.stage, at.parity);
    }
    __device__ __forceinline__ void release_previous() const {
        release_stage<T>(shared, previous, threadIdx.x % 32);
    }
    __device__ __forceinline__ void next_stage() {
        previous = at.stage;
        at.advance();
    }

    // Two steps in flight while the next two are widened: all that registers
    // allow beside the sums of many tokens.
    __device__ __forceinline__ void run_by_halves(int32_t (&d)[T::kTokens / 2], int n_stages) {
        for (int k = 0; k < n_stages; ++k) {
            await_stage();
            const uint64_t tokens = swizzled_operand(stage());
            uint32_t a[2][8];
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                widen_unit<T::kWords>(a[half], unit(half));
                wgmma_fence();
                wgmma_u8(d, a[half], tokens + 4 * half, half > 0 || k > 0);
                wgmma_u8(d, a[half] + 4, tokens + 4 * half + 2, 1);
                wgmma_commit();
                wgmma_wait<1>();
                if (half == 0 && k > 0) release_previous();
            }
            next_stage();
        }
        wgmma_wait<0>();
        release_previous();
    }

    // A whole stage in flight: products of few tokens are shorter than what comes
    // before them.
    __device__ __forceinline__ void start_stage(int32_t (&d)[T::kTokens / 2], uint32_t (&a)[2][8],
                                                int k) {
        await_stage();
        const uint64_t tokens = swizzled_operand(stage());
        widen_unit<T::kWords>(a[0], unit(0));
        widen_unit<T::kWords>(a[1], unit(1));
        wgmma_fence();
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            wgmma_u8(d, a[half], tokens + 4 * half, half > 0 || k > 0);
            wgmma_u8(d, a[half] + 4, tokens + 4 * half + 2, 1);
        }
        wgmma_commit();
        wgmma_wait<1>();
        if (k > 0) release_previous();
        next_stage();
    }
    __device__ __forceinline__ void run_by_stages(int32_t (&d)[T::kTokens / 2], int n_stages) {
        uint32_t even[2][8], odd[2][8];
        int k = 0;
        for (; k + 1 < n_stages; k += 2) {
            start_stage(d, even, k);
            start_stage(d, odd, k + 1);
        }
        if (k < n_stages) start_stage(d, even, k);
        wgmma_wait<0>();
        release_previous();
    }

    __device__ __forceinline__ void run(int32_t (&d)[T::kTokens / 2], int n_stages) {
        if constexpr (T::kTokens <= 64) {
            run_by_stages(d, n_stages);
        } else {
            run_by_halves(d, n_stages);
        }
    }
};

// Factors of a tile's tokens in a warpgroup's shared memory. Symmetric: `sum`
// is already what is subtracted from the sums of every row. Requested before
// the tile's products, written after them.
template <class T>
struct TokenTable {
    static constexpr int kOfThread = (T::kTokens + 127) / 128;
    uint32_t base;
    TokenFactors pending[kOfThread];

    __device__ TokenTable(uint32_t shared, int warpgroup)
        : base(shared + T::kFactors + warpgroup * T::kTokens * 16) {}
    __device__ void request(const TileProblem& p, int first) {
#pragma unroll
        for (int i = 0; i < kOfThread; ++i) {
            const int token = first + static_cast<int>(threadIdx.x % 128) + 128 * i;
            pending[i] = p.parts[0].factors.token(min(token, p.n_tokens - 1));
        }
    }
    __device__ void write(bool symmetric, int32_t row_zero) const {
#pragma unroll
        for (int i = 0; i < kOfThread; ++i) {
            const int t = static_cast<int>(threadIdx.x % 128) + 128 * i;
            if (t >= T::kTokens) break;
            const TokenFactors& f = pending[i];
            const int32_t sum = symmetric ? f.sum * row_zero : f.sum;
            asm volatile("st.shared.f32 [%0], %1;" ::"r"(base + 4 * t), "f"(f.scale) : "memory");
            asm volatile("st.shared.s32 [%0], %1;" ::"r"(base + 4 * (T::kTokens + t)), "r"(sum)
                         : "memory");
            asm volatile("st.shared.s32 [%0], %1;" ::"r"(base + 4 * (2 * T::kTokens + t)),
                         "r"(f.zero)
                         : "memory");
            asm volatile("st.shared.f32 [%0], %1;" ::"r"(base + 4 * (3 * T::kTokens + t)),
                         "f"(f.base)
                         : "memory");
        }
    }
    // Of tokens t and t + 1.
    __device__ void scales(int t, float (&s)[2]) const {
        pair(s, t);
    }
    __device__ void sums(int t, int32_t (&s)[2]) const {
        pair(s, T::kTokens + t);
    }
    __device__ void zeros(int t, int32_t (&s)[2]) const {
        pair(s, 2 * T::kTokens + t);
    }
    __device__ void bases(int t, float (&s)[2]) const {
        pair(s, 3 * T::kTokens + t);
    }

  private:
    __device__ void pair(int32_t (&s)[2], int index) const {
        asm volatile("ld.shared.v2.s32 {%0, %1}, [%2];"
                     : "=r"(s[0]), "=r"(s[1])
                     : "r"(base + 4 * index));
    }
    __device__ void pair(float (&s)[2], int index) const {
        asm volatile("ld.shared.v2.f32 {%0, %1}, [%2];"
                     : "=f"(s[0]), "=f"(s[1])
                     : "r"(base + 4 * index));
    }
};

// Outputs of two rows and two tokens, y[row][token], from the four sums of one
// n8 block.
template <class T, bool kSymmetric>
__device__ __forceinline__ void finish_block(const int32_t* sums, const TokenTable<T>& table, int t,
                                             const ThreadRows& rows, float (&y)[2][2]) {
    float scale[2], token_base[2];
    int32_t sum[2], zero[2];
    table.scales(t, scale);
    table.sums(t, sum);
    if constexpr (!kSymmetric) {
        table.zeros(t, zero);
        table.bases(t, token_base);
    }
#pragma unroll
    for (int h = 0; h < 2; ++h) {
        const RowFactors& row = rows.factors[h];
#pragma unroll
        for (int i = 0; i < 2; ++i) {
            if constexpr (kSymmetric) {
                y[h][i] = finish_scaled(sums[2 * h + i] - sum[i] - row.sum, row.scale, scale[i],
                                        row.bias);
            } else {
                y[h][i] = finish(sums[2 * h + i], row, {scale[i], zero[i], sum[i], token_base[i]});
            }
        }
    }
}

template <class T>
__device__ void consume(const TileProblem& p, uint32_t shared) {
    const int warpgroup = threadIdx.x / 128 - 1;
    const Schedule<T> schedule(p);
    TokenTable<T> table(shared, warpgroup);
    Pieces<T> pieces{p, shared, warpgroup};
    TileProducts<T> products{shared, warpgroup};
    int32_t d[T::kTokens / 2];
    for (int tile = schedule.first; tile < schedule.n_tiles; tile += schedule.step) {
        Place place = schedule.place(tile);
        place.block += warpgroup;
        const TilePart& part = p.parts[place.part];
        ThreadRows rows(part, place.block);
        table.request(p, place.token);
        const bool brings = part.elements.accumulate && part.elements.dtype != DType::F32;
        if (brings && threadIdx.x % 128 == 0) pieces.request_first(place);
        products.run(d, p.stages);
        table.write(p.symmetric, rows.factors[0].zero);
        const int lane_token = 2 * (threadIdx.x % 4);
        if (T::kSymmetricOnly || p.symmetric) {
            for (RowFactors& row : rows.factors) row.sum *= part.factors.code_bias;
            const auto block = [&](int n, float(&y)[2][2]) {
                finish_block<T, true>(d + n / 2, table, n + lane_token, rows, y);
            };
            store_tile<T>(pieces, block, rows.first, place);
        } else if constexpr (!T::kSymmetricOnly) {
            const auto block = [&](int n, float(&y)[2][2]) {
                finish_block<T, false>(d + n / 2, table, n + lane_token, rows, y);
            };
            store_tile<T>(pieces, block, rows.first, place);
        }
    }
    if (threadIdx.x % 128 == 0) wait_stores();
}

// The CTAs of a cluster leave their sums in shared memory; each finishes
// kTokens / kSplit tokens.
template <class T>
__device__ void consume_split(const TileProblem& p, uint32_t shared) {
    const int warpgroup = threadIdx.x / 128 - 1, lane = threadIdx.x % 32;
    const int warp = threadIdx.x % 128 / 32, rank = static_cast<int>(cluster_rank());
    const Schedule<T> schedule(p);
    const Columns<T> columns(p);
    const uint32_t sums = shared + T::kOut, full = shared + T::kSums, empty = full + 8;
    const auto tell_cluster = [&](uint32_t barrier) {
        __syncwarp();
        for (int r = kWarpArrivals == 32 ? 0 : lane; r < T::kSplit;
             r += kWarpArrivals == 32 ? 1 : 32) {
            barrier_release_remote(barrier, r);
        }
    };
    TileProducts<T> products{shared, warpgroup};
    int32_t d[T::kTokens / 2];
    uint32_t parity = 0;
    for (int tile = schedule.first; tile < schedule.n_tiles; tile += schedule.step, parity ^= 1) {
        const Place place = schedule.place(tile);
        const TilePart& part = p.parts[place.part];
        products.run(d, columns.count);
        if (tile != schedule.first) barrier_wait_cluster(empty, parity ^ 1);
#pragma unroll
        for (int i = 0; i < T::kTokens / 2; ++i) {
            const int token = 8 * (i / 4) + 2 * (lane % 4) + i % 2;
            const int row = 64 * warpgroup + 16 * warp + 8 * (i / 2 % 2) + lane / 4;
            asm volatile("st.shared.s32 [%0], %1;" ::"r"(sums + token * T::kSumPitch + row * 4),
                         "r"(d[i])
                         : "memory");
        }
        tell_cluster(full);
        // A warp finishes every eighth token of this CTA's share, a lane four rows.
        const int row = place.block * 64 + lane * 4, run = min(4, part.n_rows - row);
        RowFactors rows[4];
#pragma unroll
        for (int i = 0; i < 4; ++i) rows[i] = part.factors.row(min(row + i, part.n_rows - 1));
        constexpr int kShare = T::kTokens / T::kSplit, kWarps = 4 * T::kWarpgroups;
        TokenFactors factors[kShare / kWarps];
        const int first = rank * kShare + 4 * warpgroup + warp;
#pragma unroll
        for (int i = 0; i < kShare / kWarps; ++i) {
            factors[i] = part.factors.token(min(place.token + first + i * kWarps, p.n_tokens - 1));
        }
        barrier_wait_cluster(full, parity);
#pragma unroll
        for (int i = 0; i < kShare / kWarps; ++i) {
            const int token = first + i * kWarps;
            int32_t v[4] = {};
#pragma unroll
            for (int r = 0; r < T::kSplit; ++r) {
                const int4 part = load_remote(sums + token * T::kSumPitch + lane * 16, r);
                v[0] += part.x;
                v[1] += part.y;
                v[2] += part.z;
                v[3] += part.w;
            }
            float y[4];
#pragma unroll
            for (int j = 0; j < 4; ++j) y[j] = finish(v[j], rows[j], factors[i]);
            if (place.token + token < p.n_tokens) {
                part.elements.store_run(place.token + token, row, run, y);
            }
        }
        tell_cluster(empty);
    }
}

template <class T>
__global__ void __launch_bounds__(T::kThreads, 1)
    linear_tile(const __grid_constant__ TileProblem problem) {
    extern __shared__ uint8_t memory[];
    const uint32_t shared = (shared_address(memory) + 1023) & ~1023u;
    if (threadIdx.x == 0) init_barriers<T>(shared);
    let_successor_start();
    if constexpr (T::kCluster > 1) {
        cluster_sync();
    } else {
        __syncthreads();
    }
    if (threadIdx.x < 128) {
        asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kProducerRegisters));
        if (threadIdx.x == 0) produce_weights<T>(problem, shared);
        if (threadIdx.x == 32) produce_tokens<T>(problem, shared);
    } else {
        asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kConsumerRegisters));
        wait_for_predecessor();
        if constexpr (T::kSplit > 1) {
            consume_split<T>(problem, shared);
        } else {
            consume<T>(problem, shared);
        }
    }
    if constexpr (T::kCluster > 1) cluster_sync();  // nobody leaves while others read its memory
}

template <class T>
void launch_tiles(std::span<const LinearProduct> products, Stream stream) {
    const TileProblem problem = describe<T>(products);
    const int clusters =
        min(tiles_of<T>(problem), resident_clusters<T>(linear_tile<T>, current_device()));
    launch("linear_tile", linear_tile<T>,
           {.grid = static_cast<unsigned>(clusters * T::kCluster),
            .block = T::kThreads,
            .shared_bytes = T::kSharedBytes,
            .cluster = T::kCluster},
           stream, problem);
}

}  // namespace

void launch_tile(std::span<const LinearProduct> products, LinearKernel kernel, Stream stream) {
    const bool bytes = products.front().weight.shape.bits > 4;
    switch (kernel) {  // tokens, stages, multicast, split, piece, pieces, words
        case LinearKernel::Tile32:
            return launch_tiles<Tile<32, 14, 1, 1, 32, 1>>(products, stream);
        case LinearKernel::Tile32Split:
            return launch_tiles<Tile<32, 14, 1, 2, 32, 1>>(products, stream);
        case LinearKernel::Tile64:
            return launch_tiles<Tile<64, 9, 1, 1, 64, 1>>(products, stream);
        case LinearKernel::Tile64Split:
            return launch_tiles<Tile<64, 10, 1, 2, 64, 1>>(products, stream);
        case LinearKernel::Tile128:
            if (bytes) return launch_tiles<Tile<128, 4, 1, 1, 128, 1, 2>>(products, stream);
            return launch_tiles<Tile<128, 6, 1, 1, 128, 1>>(products, stream);
        case LinearKernel::Tile128Split:
            return launch_tiles<Tile<128, 5, 1, 2, 128, 1>>(products, stream);
        case LinearKernel::Tile256:
            return launch_tiles<Tile<256, 4, 2, 1, 64, 3>>(products, stream);
        default:
            require(false, "launch_tile: no tile kernel");
    }
}

}  // namespace quarot::kernels::cuda
