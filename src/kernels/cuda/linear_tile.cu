// Products of many tokens on Hopper's warpgroup tensor cores.
//
// A tile is 128 rows of weights x kTokens tokens. Weights are operand A, widened from nibbles to
// bytes in registers; tokens are operand B in swizzled shared memory. One producer thread keeps a
// ring of stages of 128 columns filled by the copy engine; two consumer warpgroups own 64 rows
// each and all of the tile's tokens. CTAs are persistent. Weights of the first stages are requested
// before the predecessor has ended.
#include "kernels/cuda/device/cluster.cuh"
#include "kernels/cuda/device/griddep.cuh"
#include "kernels/cuda/device/mbarrier.cuh"
#include "kernels/cuda/device/memory.cuh"
#include "kernels/cuda/device/tma.cuh"
#include "kernels/cuda/device/wgmma.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/linear_kernels.h"
#include "kernels/cuda/linear_tile.cuh"
#include "kernels/cuda/tensor_map.h"

namespace quarot::kernels::cuda {

namespace {

// Arrivals of a warp on a barrier: one lane's, after __syncwarp. The race checker follows only
// threads that arrive themselves and wants all of them.
#ifdef QUAROT_RACECHECK
constexpr int kWarpArrivals = 32;
#else
constexpr int kWarpArrivals = 1;
#endif
constexpr int kProducerRegisters = 40, kConsumerRegisters = 232;

struct Place {
    int block;  // first 64-row block
    int token;
};

// The tiles of one CTA, in the order in which it visits them.
template <class T>
struct Schedule {
    int token_tiles, row_tiles, n_tiles, first, step, raster, rank;

    __device__ explicit Schedule(const TileProblem& p)
        : token_tiles((p.n_tokens + T::kTokens - 1) / T::kTokens),
          row_tiles((p.row_blocks + T::kWarpgroups * T::kMulticast - 1) /
                    (T::kWarpgroups * T::kMulticast)),
          n_tiles(token_tiles * row_tiles),
          first(static_cast<int>(blockIdx.x) / T::kCluster),
          step(static_cast<int>(gridDim.x) / T::kCluster),
          raster(p.raster),
          rank(T::kMulticast > 1 ? static_cast<int>(cluster_rank()) : 0) {}

    // `raster` token tiles go through all rows together.
    __device__ Place place(int tile) const {
        const int run = tile / (raster * row_tiles), in_run = tile - run * raster * row_tiles;
        const int width = min(raster, token_tiles - run * raster);
        return {((in_run / width) * T::kMulticast + rank) * T::kWarpgroups,
                (run * raster + in_run % width) * T::kTokens};
    }
};

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

// A place in the ring and the parity of its phase.
template <class T>
struct RingCursor {
    int stage = 0;
    uint32_t parity = 0;

    __device__ void advance() {
        if (++stage == T::kStages) {
            stage = 0;
            parity ^= 1;
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

template <class T>
__device__ void produce(const TileProblem& p, uint32_t shared) {
    const Schedule<T> schedule(p);
    const Columns<T> columns(p);
    const auto load_weights = [&](int stage, int block, int column_stage) {
        const uint32_t to = shared + stage * T::kStageBytes + T::kTokenBytes;
        const uint32_t full = shared + T::kFull + 8 * stage;
        barrier_expect(full, T::kStageBytes);
        for (int b = 0; b < T::kWarpgroups; ++b) {
            const int64_t units = static_cast<int64_t>(min(block + b, p.row_blocks - 1)) * p.stages;
            copy_run(to + b * T::kUnitBytes,
                     p.units + (units + columns.first + column_stage) * T::kUnitBytes,
                     T::kUnitBytes, full);
        }
    };
    int requested = 0;  // stages of the first tile whose weights are on their way
    if constexpr (T::kMulticast == 1) {
        for (; requested < min(T::kStages, columns.count); ++requested) {
            load_weights(requested, schedule.place(schedule.first).block, requested);
        }
    }
    wait_for_predecessor();
    RingCursor<T> at{0, 1};
    for (int tile = schedule.first; tile < schedule.n_tiles; tile += schedule.step) {
        const Place place = schedule.place(tile);
        for (int k = 0; k < columns.count; ++k, at.advance()) {
            if (requested > 0) {
                --requested;
            } else {
                barrier_wait(shared + T::kEmpty + 8 * at.stage, at.parity);
                load_weights(at.stage, place.block, k);
            }
            constexpr int kShare = T::kTokens / T::kMulticast;
            copy_box<T::kMulticast>(
                shared + at.stage * T::kStageBytes + schedule.rank * kShare * 128, &p.tokens,
                (columns.first + k) * 128, place.token + schedule.rank * kShare,
                shared + T::kFull + 8 * at.stage);
        }
    }
}

// A stage may be refilled as far as this warp is concerned.
template <class T>
__device__ __forceinline__ void release_stage(uint32_t shared, int stage, int lane) {
    const uint32_t empty = shared + T::kEmpty + 8 * stage;
    __syncwarp();  // orders the other lanes' reads before the arrival
    if constexpr (T::kMulticast == 1) {
        if (kWarpArrivals == 32 || lane == 0) barrier_arrive(empty);
    } else if (kWarpArrivals == 32) {
        for (int rank = 0; rank < T::kMulticast; ++rank) barrier_arrive_remote(empty, rank);
    } else {
        if (lane < T::kMulticast) barrier_arrive_remote(empty, lane);
    }
}

// All columns of one tile. Two steps of 32 columns are in flight while the next two are widened;
// registers and stage of the previous two are free after each wait.
template <class T>
__device__ __forceinline__ void multiply_tile(int32_t (&d)[T::kTokens / 2], uint32_t shared,
                                              int n_stages, int warpgroup, RingCursor<T>& at) {
    const int thread = threadIdx.x % 128, lane = threadIdx.x % 32;
    int previous = 0;
    for (int k = 0; k < n_stages; ++k) {
        barrier_wait(shared + T::kFull + 8 * at.stage, at.parity);
        const uint32_t stage = shared + at.stage * T::kStageBytes;
        const uint32_t unit = stage + T::kTokenBytes + warpgroup * T::kUnitBytes + thread * 16;
        const uint64_t tokens = swizzled_operand(stage);
        uint32_t a[2][8];
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const uint4 packed = load_shared(unit + half * 2048);
            const uint32_t words[4] = {packed.x, packed.y, packed.z, packed.w};
#pragma unroll
            for (int j = 0; j < 4; ++j) {
                a[half][j] = words[j] & 0x0F0F0F0Fu;
                a[half][4 + j] = (words[j] >> 4) & 0x0F0F0F0Fu;
            }
            wgmma_fence();
            wgmma_u8(d, a[half], tokens + 4 * half, half > 0 || k > 0);
            wgmma_u8(d, a[half] + 4, tokens + 4 * half + 2, 1);
            wgmma_commit();
            wgmma_wait<1>();
            if (half == 0 && k > 0) release_stage<T>(shared, previous, lane);
        }
        previous = at.stage;
        at.advance();
    }
    wgmma_wait<0>();
    release_stage<T>(shared, previous, lane);
}

// The rows of a thread: 16 w + g and 8 more, of its warpgroup's block.
struct ThreadRows {
    int64_t first;
    RowFactors factors[2];

    __device__ ThreadRows(const TileProblem& p, int block)
        : first(block * 64 + 16 * (threadIdx.x % 128 / 32) + threadIdx.x % 32 / 4) {
        for (int h = 0; h < 2; ++h) {
            factors[h] = p.factors.row(min(first + 8 * h, static_cast<int64_t>(p.n_rows - 1)));
        }
    }
};

// Factors of a tile's tokens in a warpgroup's shared memory. Symmetric: `sum` is already what is
// subtracted from the sums of every row. Requested before the tile's products, written after them.
template <class T>
struct TokenTable {
    static constexpr int kOfThread = (T::kTokens + 127) / 128;
    uint32_t base;
    TokenFactors pending[kOfThread];

    __device__ TokenTable(uint32_t shared, int warpgroup)
        : base(shared + T::kFactors + warpgroup * T::kTokens * 12) {}
    __device__ void request(const TileProblem& p, int first) {
#pragma unroll
        for (int i = 0; i < kOfThread; ++i) {
            const int token = first + static_cast<int>(threadIdx.x % 128) + 128 * i;
            pending[i] = p.factors.token(min(token, p.n_tokens - 1));
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
        }
    }
    // Of tokens t and t + 1.
    __device__ void scales(int t, float (&s)[2]) const {
        asm volatile("ld.shared.v2.f32 {%0, %1}, [%2];"
                     : "=f"(s[0]), "=f"(s[1])
                     : "r"(base + 4 * t));
    }
    __device__ void sums(int t, int32_t (&s)[2]) const {
        pair(s, T::kTokens + t);
    }
    __device__ void zeros(int t, int32_t (&s)[2]) const {
        pair(s, 2 * T::kTokens + t);
    }

  private:
    __device__ void pair(int32_t (&s)[2], int index) const {
        asm volatile("ld.shared.v2.s32 {%0, %1}, [%2];"
                     : "=r"(s[0]), "=r"(s[1])
                     : "r"(base + 4 * index));
    }
};

// Outputs of two rows and two tokens, y[row][token], from the four sums of one n8 block.
template <class T, bool kSymmetric>
__device__ __forceinline__ void finish_block(const int32_t* sums, const TokenTable<T>& table, int t,
                                             const ThreadRows& rows, float (&y)[2][2]) {
    float scale[2];
    int32_t sum[2], zero[2];
    table.scales(t, scale);
    table.sums(t, sum);
    if constexpr (!kSymmetric) table.zeros(t, zero);
#pragma unroll
    for (int h = 0; h < 2; ++h) {
        const RowFactors& row = rows.factors[h];
#pragma unroll
        for (int i = 0; i < 2; ++i) {
            if constexpr (kSymmetric) {
                y[h][i] = finish_scaled(sums[2 * h + i] - sum[i] - row.sum, row.scale, scale[i],
                                        row.bias);
            } else {
                y[h][i] = finish(sums[2 * h + i], row, {scale[i], zero[i], sum[i]});
            }
        }
    }
}

__device__ __forceinline__ uint32_t pack(__half, float a, float b) {
    const __half2 v = __floats2half2_rn(a, b);
    return *reinterpret_cast<const uint32_t*>(&v);
}
__device__ __forceinline__ uint32_t pack(__nv_bfloat16, float a, float b) {
    const __nv_bfloat162 v = __floats2bfloat162_rn(a, b);
    return *reinterpret_cast<const uint32_t*>(&v);
}
__device__ __forceinline__ float2 unpack(__half, uint32_t v) {
    return __half22float2(*reinterpret_cast<const __half2*>(&v));
}
__device__ __forceinline__ float2 unpack(__nv_bfloat16, uint32_t v) {
    return __bfloat1622float2(*reinterpret_cast<const __nv_bfloat162*>(&v));
}

// 16-bit outputs leave through shared memory, transposed so that rows become contiguous, in pieces
// of kPiece tokens x 64 rows. With `accumulate` the same buffers bring what is added to.
template <class T>
struct Pieces {
    const TileProblem& p;
    uint32_t shared;
    int warpgroup;
    int count = 0;  // pieces so far, of all tiles

    static constexpr int kPerTile = T::kTokens / T::kPiece;

    __device__ uint32_t buffer(int piece) const {
        return shared + T::kOut + (warpgroup * T::kPieces + piece % T::kPieces) * T::kPieceBytes;
    }
    __device__ uint32_t barrier(int piece) const {
        return shared + T::kResidual + 8 * (warpgroup * T::kPieces + piece % T::kPieces);
    }
    __device__ void request(int piece, const Place& place, int in_tile) const {
        barrier_expect(barrier(piece), T::kPieceBytes);
        copy_box<1>(buffer(piece), &p.out, place.block * 64, place.token + in_tile * T::kPiece,
                    barrier(piece));
    }
    // By one thread, before the tile's products.
    __device__ void request_first(const Place& place) const {
        wait_stores_read<0>();
        for (int i = 0; i < min(T::kPieces, kPerTile); ++i) request(count + i, place, i);
    }
    __device__ void request_next(const Place& place, int in_tile) const {
        if (in_tile + T::kPieces >= kPerTile) return;
        wait_stores_read<0>();
        request(count + T::kPieces, place, in_tile + T::kPieces);
    }
    // The buffer of the next piece may be written, and with accumulate holds what is added to.
    __device__ void await() const {
        if (p.elements.accumulate) {
            barrier_wait(barrier(count), count / T::kPieces & 1);
        } else if (threadIdx.x % 128 == 0) {
            wait_stores_read<T::kPieces - 1>();
        }
        named_barrier(1 + warpgroup, 128);
    }

    template <class Out, bool kSymmetric>
    __device__ __forceinline__ void store(const int32_t (&d)[T::kTokens / 2],
                                          const TokenTable<T>& table, const ThreadRows& rows,
                                          const Place& place) {
        const int lane = threadIdx.x % 32, warp = threadIdx.x % 128 / 32;
#pragma unroll
        for (int in_tile = 0; in_tile < kPerTile; ++in_tile) {
            await();
#pragma unroll
            for (int t = 0; t < T::kPiece; t += 16) {
                const int token = t + 8 * (lane / 16) + lane % 8;
                const int chunk = 2 * warp + lane / 8 % 2;
                const uint32_t address = buffer(count) + token * 128 + ((chunk ^ (token & 7)) << 4);
                uint32_t old[4];
                if (p.elements.accumulate) load_blocks_transposed(old, address);
                uint32_t words[4];
#pragma unroll
                for (int j = 0; j < 2; ++j) {
                    const int first = in_tile * T::kPiece + t + 8 * j;
                    float y[2][2];
                    finish_block<T, kSymmetric>(d + first / 2, table, first + 2 * (lane % 4), rows,
                                                y);
#pragma unroll
                    for (int h = 0; h < 2; ++h) {
                        if (p.elements.accumulate) {
                            const float2 to = unpack(Out(), old[2 * j + h]);
                            y[h][0] = __fadd_rn(to.x, y[h][0]);
                            y[h][1] = __fadd_rn(to.y, y[h][1]);
                        }
                        words[2 * j + h] = pack(Out(), y[h][0], y[h][1]);
                    }
                }
                store_blocks_transposed(address, words);
            }
            fence_for_copy_engine();
            named_barrier(1 + warpgroup, 128);
            if (threadIdx.x % 128 == 0) {
                store_box(&p.out, buffer(count), place.block * 64,
                          place.token + in_tile * T::kPiece);
                if (p.elements.accumulate) request_next(place, in_tile);
            }
            ++count;
        }
    }
};

// fp32 outputs go straight to memory: a warp writes whole sectors.
template <class T, bool kSymmetric>
__device__ __forceinline__ void store_floats(const TileProblem& p,
                                             const int32_t (&d)[T::kTokens / 2],
                                             const TokenTable<T>& table, const ThreadRows& rows,
                                             const Place& place) {
    float* const out = static_cast<float*>(p.elements.data);
#pragma unroll
    for (int n = 0; n < T::kTokens; n += 8) {
        const int token = n + 2 * (threadIdx.x % 4);
        float y[2][2];
        finish_block<T, kSymmetric>(d + n / 2, table, token, rows, y);
#pragma unroll
        for (int h = 0; h < 2; ++h) {
#pragma unroll
            for (int i = 0; i < 2; ++i) {
                const int64_t row = rows.first + 8 * h;
                if (row >= p.n_rows || place.token + token + i >= p.n_tokens) continue;
                float& to = out[(place.token + token + i) * p.elements.stride + row];
                to = p.elements.accumulate ? __fadd_rn(to, y[h][i]) : y[h][i];
            }
        }
    }
}

template <class T, bool kSymmetric>
__device__ __forceinline__ void store_tile(Pieces<T>& pieces, const int32_t (&d)[T::kTokens / 2],
                                           const TokenTable<T>& table, const ThreadRows& rows,
                                           const Place& place) {
    const TileProblem& p = pieces.p;
    if (p.elements.dtype == DType::F16) {
        pieces.template store<__half, kSymmetric>(d, table, rows, place);
    } else if (p.elements.dtype == DType::BF16) {
        pieces.template store<__nv_bfloat16, kSymmetric>(d, table, rows, place);
    } else {
        named_barrier(1 + pieces.warpgroup, 128);
        store_floats<T, kSymmetric>(p, d, table, rows, place);
        named_barrier(1 + pieces.warpgroup, 128);
    }
}

template <class T>
__device__ void consume(const TileProblem& p, uint32_t shared) {
    const int warpgroup = threadIdx.x / 128 - 1;
    const Schedule<T> schedule(p);
    TokenTable<T> table(shared, warpgroup);
    Pieces<T> pieces{p, shared, warpgroup};
    RingCursor<T> at;
    int32_t d[T::kTokens / 2];
    for (int tile = schedule.first; tile < schedule.n_tiles; tile += schedule.step) {
        Place place = schedule.place(tile);
        place.block += warpgroup;
        ThreadRows rows(p, place.block);
        table.request(p, place.token);
        const bool brings = p.elements.accumulate && p.elements.dtype != DType::F32;
        if (brings && threadIdx.x % 128 == 0) pieces.request_first(place);
        multiply_tile<T>(d, shared, p.stages, warpgroup, at);
        table.write(p.symmetric, rows.factors[0].zero);
        if (p.symmetric) {
            for (RowFactors& row : rows.factors) row.sum *= p.factors.code_bias;
            store_tile<T, true>(pieces, d, table, rows, place);
        } else {
            store_tile<T, false>(pieces, d, table, rows, place);
        }
    }
    if (threadIdx.x % 128 == 0) wait_stores();
}

// The CTAs of a cluster leave their sums in shared memory; each finishes kTokens / kSplit tokens.
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
    RingCursor<T> at;
    int32_t d[T::kTokens / 2];
    uint32_t parity = 0;
    for (int tile = schedule.first; tile < schedule.n_tiles; tile += schedule.step, parity ^= 1) {
        const Place place = schedule.place(tile);
        multiply_tile<T>(d, shared, columns.count, warpgroup, at);
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
        const int row = place.block * 64 + lane * 4, run = min(4, p.n_rows - row);
        RowFactors rows[4];
#pragma unroll
        for (int i = 0; i < 4; ++i) rows[i] = p.factors.row(min(row + i, p.n_rows - 1));
        constexpr int kShare = T::kTokens / T::kSplit, kWarps = 4 * T::kWarpgroups;
        TokenFactors factors[kShare / kWarps];
        const int first = rank * kShare + 4 * warpgroup + warp;
#pragma unroll
        for (int i = 0; i < kShare / kWarps; ++i) {
            factors[i] = p.factors.token(min(place.token + first + i * kWarps, p.n_tokens - 1));
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
                p.elements.store_run(place.token + token, row, run, y);
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
        if (threadIdx.x == 0) produce<T>(problem, shared);
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
TileProblem describe(const LinearProduct& p) {
    const auto cols = static_cast<int>(p.in.cols);
    TileProblem problem = {};
    problem.tokens = make_tensor_map({.data = p.in.codes,
                                      .dtype = DType::U8,
                                      .cols = cols,
                                      .rows = p.in.rows,
                                      .stride = p.in.stride,
                                      .box_cols = 128,
                                      .box_rows = T::kTokens / T::kMulticast});
    if (p.out_dtype != DType::F32 && T::kSplit == 1) {
        problem.out = make_tensor_map({.data = p.out,
                                       .dtype = p.out_dtype,
                                       .cols = p.weight.shape.rows,
                                       .rows = p.in.rows,
                                       .stride = p.out_stride,
                                       .box_cols = 64,
                                       .box_rows = T::kPiece});
    }
    problem.units = p.weight.codes;
    problem.factors = factor_source(p);
    problem.elements = output_elements(p);
    problem.n_tokens = static_cast<int>(p.in.rows);
    problem.n_rows = static_cast<int>(p.weight.shape.rows);
    problem.row_blocks = static_cast<int>(p.weight.shape.row_blocks());
    problem.stages = static_cast<int>(p.weight.shape.units_per_block() / 2);
    problem.raster = 8;
    problem.symmetric = p.weight.shape.symmetric && p.in.offsets == nullptr;
    return problem;
}

// Clusters of this kernel that the device holds at once: the multiprocessors of a part of the chip
// need not be a multiple of the cluster.
template <class T>
int resident_clusters(const DeviceInfo& device) {
    if constexpr (T::kCluster == 1) return device.multiprocessors;
    static const int resident = [&] {
        check(cudaFuncSetAttribute(linear_tile<T>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                   T::kSharedBytes),
              "cudaFuncSetAttribute");
        cudaLaunchAttribute cluster;
        cluster.id = cudaLaunchAttributeClusterDimension;
        cluster.val.clusterDim = {T::kCluster, 1, 1};
        cudaLaunchConfig_t config = {};
        config.gridDim = device.multiprocessors / T::kCluster * T::kCluster;
        config.blockDim = T::kThreads;
        config.dynamicSmemBytes = T::kSharedBytes;
        config.attrs = &cluster;
        config.numAttrs = 1;
        int n = 0;
        check(cudaOccupancyMaxActiveClusters(&n, linear_tile<T>, &config),
              "cudaOccupancyMaxActiveClusters");
        return n;
    }();
    return resident;
}

template <class T>
void launch_tiles(const LinearProduct& product, Stream stream) {
    const TileProblem problem = describe<T>(product);
    const int rows = T::kRows * T::kMulticast;
    const int tiles =
        (problem.n_tokens + T::kTokens - 1) / T::kTokens * ((problem.n_rows + rows - 1) / rows);
    const int clusters = min(tiles, resident_clusters<T>(current_device()));
    launch("linear_tile", linear_tile<T>,
           {.grid = static_cast<unsigned>(clusters * T::kCluster),
            .block = T::kThreads,
            .shared_bytes = T::kSharedBytes,
            .cluster = T::kCluster},
           stream, problem);
}

}  // namespace

void launch_tile(const LinearProduct& product, LinearKernel kernel, Stream stream) {
    switch (kernel) {  // tokens, stages, multicast, split, piece, pieces
        case LinearKernel::Tile32:
            return launch_tiles<Tile<32, 14, 1, 1, 32, 1>>(product, stream);
        case LinearKernel::Tile32Split:
            return launch_tiles<Tile<32, 14, 1, 2, 32, 1>>(product, stream);
        case LinearKernel::Tile64:
            return launch_tiles<Tile<64, 9, 1, 1, 64, 1>>(product, stream);
        case LinearKernel::Tile64Split:
            return launch_tiles<Tile<64, 10, 1, 2, 64, 1>>(product, stream);
        case LinearKernel::Tile128:
            return launch_tiles<Tile<128, 6, 1, 1, 128, 1>>(product, stream);
        case LinearKernel::Tile128Split:
            return launch_tiles<Tile<128, 5, 1, 2, 128, 1>>(product, stream);
        case LinearKernel::Tile256:
            return launch_tiles<Tile<256, 4, 2, 1, 64, 3>>(product, stream);
        default:
            require(false, "launch_tile: no tile kernel");
    }
}

}  // namespace quarot::kernels::cuda
