// What the tile kernels share (linear_tile.cu, linear_groups.cu): shapes,
// shared memory, the order of tiles, the ring of stages, and the way of outputs
// to memory.
#pragma once

#include <cuda.h>

#include <algorithm>
#include <span>

#include "core/checked_math.h"
#include "kernels/cuda/device/cluster.cuh"
#include "kernels/cuda/device/mbarrier.cuh"
#include "kernels/cuda/device/memory.cuh"
#include "kernels/cuda/device/tma.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/linear_epilogue.cuh"
#include "kernels/cuda/linear_kernels.h"
#include "kernels/cuda/tensor_map.h"

namespace quarot::kernels::cuda {

// One matrix of a launch, and its outputs.
struct TilePart {
    CUtensorMap out;  // 16-bit outputs
    const uint8_t* units;
    FactorSource factors;
    OutputElements elements;
    int n_rows;
    int row_blocks;  // of 64 rows
    int first_tile;  // of rows
};

// What a launch of any tile kernel is told.
struct TileProblem {
    CUtensorMap tokens;  // codes of the activations
    TilePart parts[kMostTogether];
    int n_parts;
    int row_tiles;  // of all parts
    int n_tokens;
    int stages;      // of 128 columns
    int raster;      // token tiles that are visited together, for the cache's sake
    bool symmetric;  // weights and activations alike
};

// kTokens: of a tile, whose rows are 128. kStages: of the ring. kMulticast:
// CTAs of a cluster that share tokens, each with row blocks of its own. kSplit:
// CTAs of a cluster that share a tile's columns. kPiece, kPieces: tokens of one
// store and buffers for them, for each warpgroup.
// kWords: 16-byte words of a thread in a unit of weights, 1 for nibbles and 2 for bytes.
// kWarpgroups: of consumers; one block of 64 rows each.
template <int kTokens_, int kStages_, int kMulticast_, int kSplit_, int kPiece_, int kPieces_,
          int kWords_ = 1, int kWarpgroups_ = 2>
struct Tile {
    static constexpr int kTokens = kTokens_, kStages = kStages_, kMulticast = kMulticast_,
                         kSplit = kSplit_, kPiece = kPiece_, kPieces = kPieces_, kWords = kWords_;
    static constexpr int kCluster = kMulticast * kSplit;
    // Sums of many tokens leave no room for a second way to finish them.
    static constexpr bool kSymmetricOnly = kTokens > 128;
    static constexpr int kWarpgroups = kWarpgroups_;
    static constexpr int kThreads = 128 * (kWarpgroups + 1);
    static constexpr int kRows = 64 * kWarpgroups;
    static constexpr int kTokenBytes = kTokens * 128,
                         kUnitBytes = 4096 * kWords;  // two units of a block
    static constexpr int kStageBytes = kTokenBytes + kWarpgroups * kUnitBytes;
    static constexpr int kPieceBytes = kPiece * 128;
    static constexpr int kSumPitch = kRows * 4 + 16;  // bytes of a token's sums in a split tile
    static constexpr int kOutBytes =
        kSplit > 1 ? kTokens* kSumPitch : kWarpgroups* kPieces* kPieceBytes;
    static constexpr int kFactorBytes = kSplit > 1 ? 0 : kWarpgroups* kTokens * 16;

    // Offsets from an address that is a multiple of 1024.
    static constexpr int kOut = kStages * kStageBytes;
    static constexpr int kFactors = kOut + kOutBytes;
    static constexpr int kFull = kFactors + kFactorBytes;
    static constexpr int kEmpty = kFull + 8 * kStages;
    static constexpr int kResidual = kEmpty + 8 * kStages;
    static constexpr int kSums = kResidual + 8 * kWarpgroups * kPieces;
    static constexpr int kSharedBytes = kSums + 16 + 1024;
    static_assert(kSharedBytes <= 232448 && kOut % 1024 == 0 && kPieceBytes % 1024 == 0);
    static_assert(kFull % 8 == 0 && kTokens % kPiece == 0 && (kMulticast == 1 || kSplit == 1));
};

constexpr int kProducerRegisters = 40, kConsumerRegisters = 232;

struct Place {
    int part;
    int block;  // first 64-row block, in its part
    int token;
};

// The tiles of one CTA, in the order in which it visits them.
template <class T>
struct Schedule {
    const TileProblem& p;
    int token_tiles, n_tiles, first, step, rank;

    __device__ explicit Schedule(const TileProblem& problem)
        : p(problem),
          token_tiles((p.n_tokens + T::kTokens - 1) / T::kTokens),
          n_tiles(token_tiles * p.row_tiles),
          first(static_cast<int>(blockIdx.x) / T::kCluster),
          step(static_cast<int>(gridDim.x) / T::kCluster),
          rank(T::kMulticast > 1 ? static_cast<int>(cluster_rank()) : 0) {}

    // `raster` token tiles go through all rows together.
    __device__ Place place(int tile) const {
        const int in_all = p.raster * p.row_tiles, run = tile / in_all, in_run = tile % in_all;
        const int width = min(p.raster, token_tiles - run * p.raster);
        const int row_tile = in_run / width;
        int part = 0;
#pragma unroll
        for (int next = 1; next < kMostTogether; ++next) {
            if (next < p.n_parts && row_tile >= p.parts[next].first_tile) part = next;
        }
        const int in_part = row_tile - p.parts[part].first_tile;
        return {part, (in_part * T::kMulticast + rank) * T::kWarpgroups,
                (run * p.raster + in_run % width) * T::kTokens};
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

// A thread's part of a unit as operands A of two steps of 32 columns.
template <int kWords>
__device__ __forceinline__ void widen_unit(uint32_t (&a)[8], uint32_t from) {
    const uint4 first = load_shared(from);
    const uint32_t words[4] = {first.x, first.y, first.z, first.w};
    if constexpr (kWords == 2) {
        const uint4 second = load_shared(from + 2048);
        const uint32_t others[4] = {second.x, second.y, second.z, second.w};
#pragma unroll
        for (int j = 0; j < 4; ++j) {
            a[j] = words[j];
            a[4 + j] = others[j];
        }
    } else {
#pragma unroll
        for (int j = 0; j < 4; ++j) {
            a[j] = words[j] & 0x0F0F0F0Fu;
            a[4 + j] = (words[j] >> 4) & 0x0F0F0F0Fu;
        }
    }
}

// The rows of a thread: 16 w + g and 8 more, of its warpgroup's block.
struct ThreadRows {
    int64_t first;
    RowFactors factors[2];

    __device__ ThreadRows(const TilePart& part, int block)
        : first(block * 64 + 16 * (threadIdx.x % 128 / 32) + threadIdx.x % 32 / 4) {
        for (int h = 0; h < 2; ++h) {
            factors[h] =
                part.factors.row(min(first + 8 * h, static_cast<int64_t>(part.n_rows - 1)));
        }
    }
};

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

// 16-bit outputs leave through shared memory, transposed so that rows become
// contiguous, in pieces of kPiece tokens x 64 rows. With `accumulate` the same
// buffers bring what is added to.
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
        copy_box<1>(buffer(piece), &p.parts[place.part].out, place.block * 64,
                    place.token + in_tile * T::kPiece, barrier(piece));
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
    // The buffer of the next piece may be written, and with accumulate holds what
    // is added to.
    template <bool kAccumulate>
    __device__ void await() const {
        if constexpr (kAccumulate) {
            barrier_wait(barrier(count), count / T::kPieces & 1);
        } else if (threadIdx.x % 128 == 0) {
            wait_stores_read<T::kPieces - 1>();
        }
        named_barrier(1 + warpgroup, 128);
    }

    // block(n, y) gives the outputs of two rows and two tokens, y[row][token], of
    // the n8 block whose first token is n.
    template <class Out, bool kAccumulate, class Block>
    __device__ __forceinline__ void store(const Block& block, const Place& place) {
        const int lane = threadIdx.x % 32, warp = threadIdx.x % 128 / 32;
#pragma unroll
        for (int in_tile = 0; in_tile < kPerTile; ++in_tile) {
            await<kAccumulate>();
#pragma unroll
            for (int t = 0; t < T::kPiece; t += 16) {
                const int token = t + 8 * (lane / 16) + lane % 8;
                const int chunk = 2 * warp + lane / 8 % 2;
                const uint32_t address = buffer(count) + token * 128 + ((chunk ^ (token & 7)) << 4);
                uint32_t old[4];
                if constexpr (kAccumulate) load_blocks_transposed(old, address);
                uint32_t words[4];
#pragma unroll
                for (int j = 0; j < 2; ++j) {
                    float y[2][2];
                    block(in_tile * T::kPiece + t + 8 * j, y);
#pragma unroll
                    for (int h = 0; h < 2; ++h) {
                        if constexpr (kAccumulate) {
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
                store_box(&p.parts[place.part].out, buffer(count), place.block * 64,
                          place.token + in_tile * T::kPiece);
                if constexpr (kAccumulate) request_next(place, in_tile);
            }
            ++count;
        }
    }
};

// fp32 outputs go straight to memory: a warp writes whole sectors.
template <class T, class Block>
__device__ __forceinline__ void store_floats(const TileProblem& p, const Block& block,
                                             int64_t first_row, const Place& place) {
    const TilePart& part = p.parts[place.part];
    float* const out = static_cast<float*>(part.elements.data);
#pragma unroll
    for (int n = 0; n < T::kTokens; n += 8) {
        const int token = place.token + n + 2 * (threadIdx.x % 4);
        float y[2][2];
        block(n, y);
#pragma unroll
        for (int h = 0; h < 2; ++h) {
#pragma unroll
            for (int i = 0; i < 2; ++i) {
                const int64_t row = first_row + 8 * h;
                if (row >= part.n_rows || token + i >= p.n_tokens) continue;
                float& to = out[(token + i) * part.elements.stride + row];
                to = part.elements.accumulate ? __fadd_rn(to, y[h][i]) : y[h][i];
            }
        }
    }
}

// All outputs of a warpgroup's tile.
template <class T, class Block>
__device__ __forceinline__ void store_tile(Pieces<T>& pieces, const Block& block, int64_t first_row,
                                           const Place& place) {
    const TileProblem& p = pieces.p;
    const OutputElements& elements = p.parts[place.part].elements;
    const bool accumulate = elements.accumulate;
    if (elements.dtype == DType::F16) {
        if (accumulate) return pieces.template store<__half, true>(block, place);
        pieces.template store<__half, false>(block, place);
    } else if (elements.dtype == DType::BF16) {
        if (accumulate) return pieces.template store<__nv_bfloat16, true>(block, place);
        pieces.template store<__nv_bfloat16, false>(block, place);
    } else {
        named_barrier(1 + pieces.warpgroup, 128);
        store_floats<T>(p, block, first_row, place);
        named_barrier(1 + pieces.warpgroup, 128);
    }
}

template <class T>
TilePart describe_part(const LinearProduct& p) {
    TilePart part = {};
    if (p.out_dtype != DType::F32 && T::kSplit == 1) {
        part.out = make_tensor_map({.data = p.out,
                                    .dtype = p.out_dtype,
                                    .cols = p.weight.shape.rows,
                                    .rows = p.in.rows,
                                    .stride = p.out_stride,
                                    .box_cols = 64,
                                    .box_rows = T::kPiece});
    }
    part.units = p.weight.codes;
    part.factors = factor_source(p);
    part.elements = output_elements(p);
    part.n_rows = static_cast<int>(p.weight.shape.rows);
    part.row_blocks = static_cast<int>(p.weight.shape.row_blocks());
    return part;
}

// Products of the same tokens, 1 to kMostTogether.
template <class T>
TileProblem describe(std::span<const LinearProduct> products) {
    const LinearProduct& first = products.front();
    TileProblem problem = {};
    problem.tokens = make_tensor_map({.data = first.in.codes,
                                      .dtype = DType::U8,
                                      .cols = first.in.cols,
                                      .rows = first.in.rows,
                                      .stride = first.in.stride,
                                      .box_cols = 128,
                                      .box_rows = T::kTokens / T::kMulticast});
    for (const LinearProduct& product : products) {
        TilePart& part = problem.parts[problem.n_parts++];
        part = describe_part<T>(product);
        part.first_tile = problem.row_tiles;
        problem.row_tiles +=
            static_cast<int>(ceil_div(part.row_blocks, T::kWarpgroups * T::kMulticast));
    }
    problem.n_tokens = static_cast<int>(first.in.rows);
    problem.stages = static_cast<int>(first.weight.shape.units_per_block() / 2);
    problem.raster = 8;
    problem.symmetric = std::ranges::all_of(products, is_symmetric);
    return problem;
}

template <class T>
int tiles_of(const TileProblem& problem) {
    return static_cast<int>(ceil_div(problem.n_tokens, T::kTokens)) * problem.row_tiles;
}

// Clusters of this kernel that the device holds at once: the multiprocessors of
// a part of the chip need not be a multiple of the cluster.
template <class T>
int resident_clusters(void (*kernel)(TileProblem), const DeviceInfo& device) {
    if constexpr (T::kCluster == 1) return device.multiprocessors;
    static const int resident = [&] {
        check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
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
        check(cudaOccupancyMaxActiveClusters(&n, kernel, &config),
              "cudaOccupancyMaxActiveClusters");
        return n;
    }();
    return resident;
}

}  // namespace quarot::kernels::cuda
