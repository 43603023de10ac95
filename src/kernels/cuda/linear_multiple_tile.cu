// Products of many tokens in multiples (activation_layout.h), by the expression of LinearProduct. v
// comes in bytes, 256 a + b and both signed,
// which are operands B of two products; a third one brings what a alone cannot hold, in tiles that
// have a row of 8-bit codes.
//
// A CTA of eight warps makes kRows x kTokens. Stages of a unit or two pass through a ring of copies
// in shared memory. Operand A is w - zero.
#include <algorithm>

#include "kernels/cuda/device/async_copy.cuh"
#include "kernels/cuda/device/float_bits.cuh"
#include "kernels/cuda/device/fragments.cuh"
#include "kernels/cuda/device/griddep.cuh"
#include "kernels/cuda/device/mbarrier.cuh"
#include "kernels/cuda/device/mma.cuh"
#include "kernels/cuda/device/signed_weights.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/linear_epilogue.cuh"
#include "kernels/cuda/linear_group_pieces.h"
#include "kernels/cuda/linear_kernels.h"
#include "kernels/cuda/token_chunks.cuh"

namespace quarot::kernels::cuda {

namespace {

constexpr int kTileThreads = 256;

// kRowWarps: of 32 rows, 2 or 4. kTiles: of 8 tokens in a warp. kPieceSteps: of 32 columns, 1, 2
// or 4.
template <int kRowWarps_, int kTiles_, int kPieceSteps_>
struct MultipleTileShape {
    static constexpr int kRowWarps = kRowWarps_, kTiles = kTiles_, kPieceSteps = kPieceSteps_;
    static constexpr int kRows = 32 * kRowWarps, kRowBlocks = kRows / 64;
    static constexpr int kTokens = 8 * kTiles * (8 / kRowWarps);
    static constexpr int kUnits = kPieceSteps == 4 ? 2 : 1;  // of a stage
    static constexpr int kPieces = 2 * kUnits / kPieceSteps;

    // A stage, offsets in bytes; bytes of tokens come last.
    static constexpr int kUnitTokens = 64 * kTokens;  // of a plane
    static constexpr int kPlaneBytes = kUnitTokens * kUnits;
    static constexpr int kRowScales = 2048 * kRowBlocks * kUnits;
    static constexpr int kRowZeros = kRowScales + 256 * kRowBlocks * kPieces;
    static constexpr int kTokenBytes = kRowZeros + 64 * kRowBlocks * kPieces;
    template <int kPlanes>
    static constexpr int kStageBytes = kTokenBytes + kPlanes* kPlaneBytes;
    template <int kPlanes>
    static constexpr int kStages = kPlanes == 2 ? 4 : 3;
    static constexpr int kSharedBytes =
        std::max(kStages<2> * kStageBytes<2>, kStages<3>* kStageBytes<3>);
    static_assert(kTokenBytes % 64 == 0 && kSharedBytes <= kMultipleBytes);
};

struct MultipleTileProblem {
    const uint8_t* units;
    const float* row_scales;
    const uint8_t* row_zeros;
    const float* bias;  // or null
    const uint8_t* multiples;
    const RowUnit* token_units;
    OutputElements elements;
    uint32_t plane_stride;  // bytes from a token's plane to its next one
    int64_t token_stride;
    int n_rows, n_tokens;
    int row_blocks;
    int n_units;  // of a row block
    int groups, row_shift, pieces;
};

// Tokens beyond the last are copies of it.
template <class S>
__device__ __forceinline__ int tile_token(const MultipleTileProblem& p, int in_tile) {
    return min(static_cast<int>(blockIdx.x) * S::kTokens + in_tile, p.n_tokens - 1);
}

// What a thread copies of every stage.
template <class S, int kPlanes>
struct StageCopies {
    static constexpr int kChunks = 4 * S::kUnits;  // of a token's plane
    static constexpr int kTokensAtOnce = kTileThreads / kChunks;
    static constexpr int kOfThread = (S::kTokens + kTokensAtOnce - 1) / kTokensAtOnce;
    static constexpr int kStageUnits = S::kRowBlocks * S::kUnits;
    const MultipleTileProblem& p;

    __device__ explicit StageCopies(const MultipleTileProblem& problem) : p(problem) {}
    __device__ __forceinline__ void copy(int stage, uint32_t to) const {
        copy_weights(stage, to);
        const int chunk = threadIdx.x % kChunks;
#pragma unroll
        for (int i = 0; i < kOfThread; ++i) {
            if (kOfThread * kTokensAtOnce > S::kTokens && in_tile(i) >= S::kTokens) break;
            const int token = tile_token<S>(p, in_tile(i));
            const uint8_t* from =
                p.multiples + token * p.token_stride + (stage * kChunks + chunk) * 16;
            const uint32_t place = to + S::kTokenBytes + chunk / 4 * S::kUnitTokens +
                                   token_chunk(in_tile(0), chunk % 4) + i * (64 * kTokensAtOnce);
            copy_async(place, from);
            copy_async(place + S::kPlaneBytes, from + p.plane_stride);
            if constexpr (kPlanes == 3) {
                copy_async(place + 2 * S::kPlaneBytes, from + 2 * p.plane_stride);
            }
        }
        copy_row_factors(stage, to);
    }

  private:
    static __device__ __forceinline__ int in_tile(int i) {
        return static_cast<int>(threadIdx.x) / kChunks + i * kTokensAtOnce;
    }
    // Row blocks beyond the last are copies of it.
    __device__ __forceinline__ int row_block(int in_tile) const {
        return min(static_cast<int>(blockIdx.y) * S::kRowBlocks + in_tile, p.row_blocks - 1);
    }
    __device__ __forceinline__ void copy_weights(int stage, uint32_t to) const {
#pragma unroll
        for (int e = threadIdx.x; e < kStageUnits * 128; e += kTileThreads) {
            const int unit = e / 128;  // of the stage, row block by row block
            const int64_t from = static_cast<int64_t>(row_block(unit / S::kUnits)) * p.n_units +
                                 stage * S::kUnits + unit % S::kUnits;
            copy_async(to + e * 16, p.units + from * 2048 + e % 128 * 16);
        }
    }
    // Scales and zero points, by group, row block and row.
    __device__ __forceinline__ void copy_row_factors(int stage, uint32_t to) const {
        const int first = stage * S::kPieces >> p.row_shift;
        const int count = max(1, S::kPieces >> p.row_shift);
        const int kind = threadIdx.x / 128, index = threadIdx.x % 128;
        const int chunks = kind == 0 ? 16 : 4;  // of a group of 64 rows
        if (index >= count * S::kRowBlocks * chunks) return;
        const int block = index / chunks % S::kRowBlocks, group = index / chunks / S::kRowBlocks;
        const int64_t from =
            static_cast<int64_t>(row_block(block)) * p.groups + min(first + group, p.groups - 1);
        if (kind == 0) {
            copy_async(to + S::kRowScales + index * 16,
                       p.row_scales + from * 64 + index % chunks * 4);
        } else {
            copy_async(to + S::kRowZeros + index * 16,
                       p.row_zeros + from * 64 + index % chunks * 16);
        }
    }
};

// A lane's rows of a strip in one piece: operand A, and what scales its sums.
template <class S>
struct PieceStrip {
    uint32_t a[S::kPieceSteps][4];
    float scale[2];

    // strip: of 16 rows in the tile.
    __device__ __forceinline__ void load(const MultipleTileProblem& p, uint32_t stage, int strip,
                                         int piece) {
        const int lane = threadIdx.x % 32, block = strip / 4;
        const int row = ((piece >> p.row_shift) * S::kRowBlocks + block) * 64 + strip % 4 * 16;
        uint32_t zeros[2];
#pragma unroll
        for (int h = 0; h < 2; ++h) {
            const int at = row + lane / 4 + 8 * h;
            scale[h] = __uint_as_float(load_shared_word(stage + S::kRowScales + at * 4));
            zeros[h] = 0x01010101u * load_shared_byte(stage + S::kRowZeros + at);
        }
        uint4 four = {};
#pragma unroll
        for (int q = 0; q < S::kPieceSteps; ++q) {
            const int step = piece * S::kPieceSteps + q;
            if (q % 2 == 0) {
                four = load_shared(stage + (block * S::kUnits + step / 2) * 2048 + strip % 4 * 512 +
                                   lane * 16);
            }
            const uint32_t words[4] = {four.x, four.y, four.z, four.w};
#pragma unroll
            for (int j = 0; j < 4; ++j) {
                a[q][j] = signed_weights(words[j], 4 * (step % 2), zeros[j % 2]);
            }
        }
    }
};

// Operands B of a piece for 8 tokens, plane by plane.
template <class S, int kPlanes>
struct PieceTokens {
    uint32_t b[kPlanes][S::kPieceSteps][2];

    // What this lane loads of 8 tokens: of a piece of 32 columns two chunks of two planes, else
    // four chunks of one.
    static __device__ __forceinline__ uint32_t place_of_lane(int piece) {
        const int lane = threadIdx.x % 32;
        if constexpr (S::kPieceSteps == 1) {
            return token_chunk(lane % 8, 2 * piece + lane / 8 % 2) + lane / 16 * S::kPlaneBytes;
        } else {
            return token_chunk(lane % 8, lane / 8);
        }
    }
    // from: of this lane.
    __device__ __forceinline__ explicit PieceTokens(uint32_t from) {
        uint32_t words[4];
        if constexpr (S::kPieceSteps == 1) {
            load_tiles(words, from);
            for (int i = 0; i < 4; ++i) b[i / 2][0][i % 2] = words[i];
            if constexpr (kPlanes == 3) {
                load_tiles(words, from + S::kPlaneBytes);  // planes 1 and 2
                b[2][0][0] = words[2], b[2][0][1] = words[3];
            }
        } else {
#pragma unroll
            for (int plane = 0; plane < kPlanes; ++plane) {
#pragma unroll
                for (int unit = 0; unit < S::kUnits; ++unit) {
                    load_tiles(words, from + plane * S::kPlaneBytes + unit * S::kUnitTokens);
                    for (int j = 0; j < 4; ++j) b[plane][2 * unit + j / 2][j % 2] = words[j];
                }
            }
        }
    }
};

// Adds a piece's terms of 16 rows x 8 tokens.
template <class S, int kPlanes>
__device__ __forceinline__ void add_terms(float (&y)[4], const PieceStrip<S>& strip,
                                          const PieceTokens<S, kPlanes>& tokens) {
    // 64 columns of 13 bits times 5 stay below 2^22.
    constexpr bool kBounded = kPlanes == 2 && S::kPieceSteps <= 2;
    int32_t low[4], high[4] = {};
#pragma unroll
    for (int e = 0; e < 4; ++e) low[e] = kBounded ? kFloatBits : 0;
#pragma unroll
    for (int q = 0; q < S::kPieceSteps; ++q) {
        mma_s8(low, strip.a[q], tokens.b[0][q][0], tokens.b[0][q][1]);
        mma_s8(high, strip.a[q], tokens.b[1][q][0], tokens.b[1][q][1]);
        if constexpr (kPlanes == 3) {
            mma_s8(high, strip.a[q], tokens.b[2][q][0], tokens.b[2][q][1]);
        }
    }
#pragma unroll
    for (int e = 0; e < 4; ++e) {
        const int32_t sum = low[e] + high[e] * 256;
        const float exact =
            kBounded ? __fadd_rn(__int_as_float(sum), -kFloatStart) : __int2float_rn(sum);
        y[e] = __fmaf_rn(exact, strip.scale[e / 2], y[e]);
    }
}

template <class S>
using TileSums = float[S::kTiles][2][4];  // of 8 tokens, of 16 rows

template <class S, int kPlanes>
__device__ __forceinline__ void add_stage(TileSums<S>& y, const MultipleTileProblem& p,
                                          uint32_t stage) {
    const int warp = threadIdx.x / 32, first_strip = warp % S::kRowWarps * 2;
    const uint32_t bytes = stage + S::kTokenBytes + warp / S::kRowWarps * S::kTiles * 512;
    constexpr int kTogether = S::kPieceSteps == 2 ? 2 : 1;  // strips; registers
#pragma unroll 1
    for (int piece = 0; piece < S::kPieces; ++piece) {
        const uint32_t from = bytes + PieceTokens<S, kPlanes>::place_of_lane(piece);
#pragma unroll
        for (int s = 0; s < 2; s += kTogether) {
            PieceStrip<S> strips[kTogether];
#pragma unroll
            for (int i = 0; i < kTogether; ++i) {
                strips[i].load(p, stage, first_strip + s + i, piece);
            }
#pragma unroll
            for (int tile = 0; tile < S::kTiles; ++tile) {
                const PieceTokens<S, kPlanes> tokens(from + tile * 512);
#pragma unroll
                for (int i = 0; i < kTogether; ++i) {
                    add_terms<S, kPlanes>(y[tile][s + i], strips[i], tokens);
                }
            }
        }
    }
}

template <class S>
__device__ __forceinline__ void end_segment(TileSums<S>& y, TileSums<S>& segment) {
#pragma unroll
    for (int i = 0; i < S::kTiles * 8; ++i) {
        y[i / 8][i / 4 % 2][i % 4] =
            __fadd_rn(y[i / 8][i / 4 % 2][i % 4], segment[i / 8][i / 4 % 2][i % 4]);
        segment[i / 8][i / 4 % 2][i % 4] = 0.0f;
    }
}

template <class S, int kPlanes>
__device__ __forceinline__ void add_stages(TileSums<S>& y, const MultipleTileProblem& p,
                                           uint32_t ring) {
    constexpr int kStages = S::template kStages<kPlanes>;
    constexpr int kStageBytes = S::template kStageBytes<kPlanes>;
    const int n_stages = (p.pieces + S::kPieces - 1) / S::kPieces;
    const StageCopies<S, kPlanes> copies(p);
#pragma unroll 1
    for (int s = 0; s < kStages - 1; ++s) {
        if (s < n_stages) copies.copy(s, ring + s * kStageBytes);
        end_copy_group();
    }
    constexpr int kOfSegment = kSegmentColumns / (64 * S::kUnits);  // stages
    TileSums<S> segment = {};
    int stage = 0;
#pragma unroll 1
    for (int s = 0; s < n_stages; ++s) {
        wait_for_copies<kStages - 2>();
        __syncthreads();
        const int ahead = s + kStages - 1;
        const int to = stage == 0 ? kStages - 1 : stage - 1;  // done before the barrier
        if (ahead < n_stages) copies.copy(ahead, ring + to * kStageBytes);
        end_copy_group();
        add_stage<S, kPlanes>(segment, p, ring + stage * kStageBytes);
        if (++stage == kStages) stage = 0;
        if ((s + 1) % kOfSegment == 0 || s + 1 == n_stages) end_segment<S>(y, segment);
    }
}

template <class S>
__device__ __forceinline__ void store_tile(const TileSums<S>& y, const MultipleTileProblem& p) {
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const int row = static_cast<int>(blockIdx.y) * S::kRows + warp % S::kRowWarps * 32 + lane / 4;
    const int token = static_cast<int>(blockIdx.x) * S::kTokens +
                      warp / S::kRowWarps * 8 * S::kTiles + lane % 4 * 2;
#pragma unroll
    for (int half = 0; half < 4; ++half) {
        const int out = row + 8 * half;
        if (out >= p.n_rows) continue;
        const float bias = p.bias == nullptr ? 0.0f : __ldg(p.bias + out);
#pragma unroll
        for (int tile = 0; tile < S::kTiles; ++tile) {
#pragma unroll
            for (int i = 0; i < 2; ++i) {
                const int t = token + 8 * tile + i;
                if (t >= p.n_tokens) continue;
                const float unit = load_fresh(&p.token_units[t].unit);
                const float sum = y[tile][half / 2][half % 2 * 2 + i];
                p.elements.store(t, out, __fadd_rn(__fmul_rn(sum, unit), bias));
            }
        }
    }
}

// Whether one of the tile's tokens has a third plane.
template <class S>
__device__ __forceinline__ bool has_wide_token(const MultipleTileProblem& p) {
    bool wide = false;
    if (threadIdx.x < S::kTokens) {
        wide = load_fresh(&p.token_units[tile_token<S>(p, threadIdx.x)].planes) == 3;
    }
    return __syncthreads_or(wide);
}

template <class S>
__global__ void __launch_bounds__(kTileThreads, 1)
    linear_multiple_tile(const __grid_constant__ MultipleTileProblem p) {
    extern __shared__ __align__(128) uint8_t memory[];
    const uint32_t ring = shared_address(memory);
    let_successor_start();
    wait_for_predecessor();
    TileSums<S> y = {};
    if (has_wide_token<S>(p)) {
        add_stages<S, 3>(y, p, ring);
    } else {
        add_stages<S, 2>(y, p, ring);
    }
    store_tile<S>(y, p);
}

MultipleTileProblem tile_problem(const LinearProduct& p) {
    const PieceGroups groups = multiple_pieces(p);
    return {.units = p.weight.codes,
            .row_scales = p.weight.scales,
            .row_zeros = p.weight.zeros,
            .bias = p.bias,
            .multiples = p.in.multiples,
            .token_units = p.in.row_units,
            .elements = output_elements(p),
            .plane_stride = static_cast<uint32_t>(p.in.stride),
            .token_stride = p.in.stride * multiple_planes(p.in.bits),
            .n_rows = static_cast<int>(p.weight.shape.rows),
            .n_tokens = static_cast<int>(p.in.rows),
            .row_blocks = static_cast<int>(p.weight.shape.row_blocks()),
            .n_units = static_cast<int>(p.weight.shape.units_per_block()),
            .groups = groups.of_row,
            .row_shift = groups.row_shift,
            .pieces = groups.pieces};
}

template <class S>
void launch_shape(const LinearProduct& p, Stream stream) {
    const dim3 grid(static_cast<unsigned>((p.in.rows + S::kTokens - 1) / S::kTokens),
                    static_cast<unsigned>((p.weight.shape.rows + S::kRows - 1) / S::kRows));
    launch("linear_multiple_tile", linear_multiple_tile<S>,
           {.grid = grid, .block = kTileThreads, .shared_bytes = S::kSharedBytes}, stream,
           tile_problem(p));
}

template <int kPieceSteps>
void launch_tiles(const LinearProduct& p, Stream stream) {
    if (p.in.rows <= 64) return launch_shape<MultipleTileShape<2, 2, kPieceSteps>>(p, stream);
    constexpr int kTiles = kPieceSteps == 4 ? 2 : 4;  // registers
    launch_shape<MultipleTileShape<4, kTiles, kPieceSteps>>(p, stream);
}

}  // namespace

void launch_multiple_tile(const LinearProduct& p, Stream stream) {
    switch (multiple_piece_columns(p)) {
        case 32:
            return launch_tiles<1>(p, stream);
        case 64:
            return launch_tiles<2>(p, stream);
        default:
            launch_tiles<4>(p, stream);
    }
}

}  // namespace quarot::kernels::cuda
