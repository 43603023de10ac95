// Products of many tokens where either side has groups: sums end at every border of a group, which
// cuts a row into pieces, and each piece is scaled and added in fp32, in order:
//
//   y += (sum * scale of the row) * scale of the token [+ (sum of weights * scale) * base]
//
// Four operations an element without bases and six with them, one of which makes a float of the
// sum: at 32 columns a piece these, not the tensor cores, are the work.
//
// A CTA makes 64 rows x kTokens tokens: four warps of 32 rows x kTokens / 2. Stages of a unit or
// two pass through a ring of copies in shared memory. Operand A is w - zero, signed; codes of
// tokens are operand B as they are stored. What their bias adds is taken off where a sum starts,
// whose other part, 1.5 * 2^23, makes the bits of the result those of a float.
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

constexpr int kTileThreads = 128;

// kTiles: of 8 tokens in a warp. kPieceSteps: of 32 columns, 1, 2 or 4.
template <int kTiles_, int kPieceSteps_, bool kBases_>
struct GroupTileShape {
    static constexpr int kTiles = kTiles_, kPieceSteps = kPieceSteps_;
    static constexpr bool kBases = kBases_;
    static constexpr int kTokens = 16 * kTiles;
    static constexpr int kUnits = kPieceSteps == 4 ? 2 : 1;  // of a stage
    static constexpr int kPieces = 2 * kUnits / kPieceSteps;
    static constexpr int kStages = kUnits == 2 ? 3 : 4;
    // CTAs of a multiprocessor.
    static constexpr int kResident = kTiles < 8 ? 4 : kPieceSteps == 4 ? 2 : 3;

    // A stage, offsets in bytes.
    static constexpr int kTokenCodes = 2048 * kUnits;
    static constexpr int kUnitTokens = 64 * kTokens;  // bytes of the tokens' codes in a unit
    static constexpr int kRowScales = kTokenCodes + kUnitTokens * kUnits;
    static constexpr int kRowZeros = kRowScales + 256 * kPieces;
    static constexpr int kTokenScales = kRowZeros + 64 * kPieces;
    static constexpr int kTokenBases = kTokenScales + 4 * kTokens * kPieces;
    static constexpr int kStageBytes = kTokenBases + (kBases ? 4 * kTokens * kPieces : 0);
    static_assert(kStageBytes % 64 == 0 && kStages * kStageBytes <= 74 * 1024);
};

struct GroupTileProblem {
    const uint8_t* units;
    const float* row_scales;
    const uint8_t* row_zeros;
    const float* bias;  // or null
    const uint8_t* tokens;
    const float* token_scales;
    const float* token_bases;
    OutputElements elements;
    uint32_t token_stride;
    int n_rows, n_tokens;
    int n_units;  // of a row block
    PieceGroups groups;
    int32_t code_bias;
};

// What a thread copies of every stage.
template <class S>
struct StageCopies {
    static constexpr int kChunks = 4 * S::kUnits;  // of a token's codes
    static constexpr int kOfThread = S::kTokens * kChunks / kTileThreads;
    const GroupTileProblem& p;
    const uint8_t* units;
    uint32_t tokens[kOfThread];  // bytes
    int64_t block;               // first group of the rows
    int64_t factors;             // of this thread's token

    // Tokens beyond the last are copies of it.
    __device__ explicit StageCopies(const GroupTileProblem& problem)
        : p(problem),
          units(p.units + static_cast<int64_t>(blockIdx.y) * p.n_units * 2048 + threadIdx.x * 16),
          block(static_cast<int64_t>(blockIdx.y) * p.groups.of_row),
          factors(static_cast<int64_t>(token(threadIdx.x % S::kTokens)) * p.groups.of_token) {
#pragma unroll
        for (int i = 0; i < kOfThread; ++i) {
            const int e = static_cast<int>(threadIdx.x) + i * kTileThreads;
            tokens[i] =
                static_cast<uint32_t>(token(e / kChunks)) * p.token_stride + e % kChunks * 16;
        }
    }
    __device__ __forceinline__ void copy(int stage, uint32_t to) const {
        const int thread = threadIdx.x;
#pragma unroll
        for (int u = 0; u < S::kUnits; ++u) {
            copy_async(to + u * 2048 + thread * 16, units + (stage * S::kUnits + u) * 2048);
        }
        const uint8_t* codes = p.tokens + stage * kChunks * 16;
#pragma unroll
        for (int i = 0; i < kOfThread; ++i) {
            const int e = thread + i * kTileThreads, chunk = e % kChunks;
            copy_async(to + S::kTokenCodes + chunk / 4 * S::kUnitTokens +
                           token_chunk(e / kChunks, chunk % 4),
                       codes + tokens[i]);
        }
        copy_row_factors(stage, to);
        copy_token_factors(stage, to);
    }

  private:
    __device__ int token(int in_tile) const {
        return min(static_cast<int>(blockIdx.x) * S::kTokens + in_tile, p.n_tokens - 1);
    }
    __device__ __forceinline__ void copy_row_factors(int stage, uint32_t to) const {
        const int thread = threadIdx.x, first = stage * S::kPieces >> p.groups.row_shift;
        const int count = max(1, S::kPieces >> p.groups.row_shift);
        const int kind = thread / 32, index = thread % 32;
        if (kind == 0 && index < 16 * count) {
            const int64_t group = block + min(first + index / 16, p.groups.of_row - 1);
            copy_async(to + S::kRowScales + index * 16, p.row_scales + group * 64 + index % 16 * 4);
        } else if (kind == 1 && index < 4 * count) {
            const int64_t group = block + min(first + index / 4, p.groups.of_row - 1);
            copy_async(to + S::kRowZeros + index * 16, p.row_zeros + group * 64 + index % 4 * 16);
        }
    }
    __device__ __forceinline__ void copy_token_factors(int stage, uint32_t to) const {
        const int first = stage * S::kPieces >> p.groups.token_shift;
        const int count = max(1, S::kPieces >> p.groups.token_shift);
#pragma unroll
        for (int e = threadIdx.x; e < S::kPieces * S::kTokens; e += kTileThreads) {
            const int group = e / S::kTokens;
            if (group >= count) break;
            const int64_t from = factors + min(first + group, p.groups.of_token - 1);
            copy_word(to + S::kTokenScales + e * 4, p.token_scales + from);
            if constexpr (S::kBases) copy_word(to + S::kTokenBases + e * 4, p.token_bases + from);
        }
    }
};

// A lane's rows of a strip in one piece: operand A, and what scales its sums.
template <class S>
struct PieceStrip {
    uint32_t a[S::kPieceSteps][4];
    int32_t start[4];            // of sums
    float scale[2], weights[2];  // weights: (sum of w - zero) * scale
    float scaled_start[2];       // -1.5 * 2^23 scale

    __device__ __forceinline__ PieceStrip(const GroupTileProblem& p, uint32_t stage, int strip,
                                          int piece, bool present) {
        const int group = piece >> p.groups.row_shift, lane = threadIdx.x % 32;
        const int row = group * 64 + strip * 16 + lane / 4;
        uint32_t zeros[2];
#pragma unroll
        for (int h = 0; h < 2; ++h) {
            scale[h] = __uint_as_float(load_shared_word(stage + S::kRowScales + (row + 8 * h) * 4));
            if (!present) scale[h] = 0.0f;
            zeros[h] = 0x01010101u * load_shared_byte(stage + S::kRowZeros + row + 8 * h);
        }
        int32_t sums[4] = {};
#pragma unroll
        for (int q = 0; q < S::kPieceSteps; ++q) {
            const int step = piece * S::kPieceSteps + q;
            const uint4 four = load_shared(stage + step / 2 * 2048 + strip * 512 + lane * 16);
            const uint32_t words[4] = {four.x, four.y, four.z, four.w};
#pragma unroll
            for (int j = 0; j < 4; ++j) {
                a[q][j] = signed_weights(words[j], 4 * (step % 2), zeros[j % 2]);
            }
            mma_s8u8(sums, a[q], 0x01010101u, 0x01010101u, sums);
        }
#pragma unroll
        for (int e = 0; e < 4; ++e) start[e] = kFloatBits - p.code_bias * sums[e];
#pragma unroll
        for (int h = 0; h < 2; ++h) {
            weights[h] = S::kBases ? __fmul_rn(__int2float_rn(sums[2 * h]), scale[h]) : 0.0f;
            scaled_start[h] = __fmul_rn(-kFloatStart, scale[h]);
        }
    }
    // Whether a sum's float times the scale plus scaled_start is the sum times the scale, rounded
    // once: so for scales that were stored as halves.
    __device__ __forceinline__ bool has_exact_start() const {
        return __fmaf_rn(kFloatStart, scale[0], scaled_start[0]) == 0.0f &&
               __fmaf_rn(kFloatStart, scale[1], scaled_start[1]) == 0.0f;
    }
};

// Scales or bases of a lane's two tokens.
__device__ __forceinline__ void load_two(float (&to)[2], uint32_t from) {
    const uint2 two = load_shared_pair(from);
    to[0] = __uint_as_float(two.x);
    to[1] = __uint_as_float(two.y);
}

// Operands B of a piece for two runs of 8 tokens.
template <class S>
struct PiecePair {
    uint32_t b[2][S::kPieceSteps][2];

    __device__ __forceinline__ PiecePair(uint32_t stage, int token, int piece) {
        const int lane = threadIdx.x % 32;
        uint32_t words[4];
        if constexpr (S::kPieceSteps == 1) {
            load_tiles(words, stage + token_chunk(token + lane / 16 * 8 + lane % 8,
                                                  2 * piece + lane / 8 % 2));
            for (int i = 0; i < 4; ++i) b[i / 2][0][i % 2] = words[i];
        } else {
#pragma unroll
            for (int i = 0; i < 2 * S::kUnits; ++i) {
                const int run = i / S::kUnits, unit = i % S::kUnits;
                load_tiles(words, stage + unit * S::kUnitTokens +
                                      token_chunk(token + 8 * run + lane % 8, lane / 8));
                for (int j = 0; j < 4; ++j) b[run][2 * unit + j / 2][j % 2] = words[j];
            }
        }
    }
};

// Adds a piece's terms of 16 rows x 8 tokens.
template <class S, bool kExactStart>
__device__ __forceinline__ void add_terms(float (&y)[4], const PieceStrip<S>& strip,
                                          const uint32_t (&b)[S::kPieceSteps][2],
                                          const float (&scale)[2], const float (&base)[2]) {
    int32_t sums[4];
    mma_s8u8(sums, strip.a[0], b[0][0], b[0][1], strip.start);
#pragma unroll
    for (int q = 1; q < S::kPieceSteps; ++q) {
        mma_s8u8(sums, strip.a[q], b[q][0], b[q][1], sums);
    }
#pragma unroll
    for (int e = 0; e < 4; ++e) {
        const int h = e / 2, i = e % 2;
        const float bits = __int_as_float(sums[e]);
        float term = kExactStart ? __fmaf_rn(bits, strip.scale[h], strip.scaled_start[h])
                                 : __fmul_rn(__fadd_rn(bits, -kFloatStart), strip.scale[h]);
        term = __fmul_rn(term, scale[i]);
        if constexpr (S::kBases) term = __fadd_rn(term, __fmul_rn(strip.weights[h], base[i]));
        y[e] = __fadd_rn(y[e], term);
    }
}

template <class S>
using TileSums = float[S::kTiles][2][4];  // of 8 tokens, of 16 rows

template <class S, bool kExactStart>
__device__ __forceinline__ void add_tiles(TileSums<S>& y, const GroupTileProblem& p,
                                          const PieceStrip<S> (&strips)[2], int piece,
                                          uint32_t stage) {
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const uint32_t factors =
        stage + ((piece >> p.groups.token_shift) * S::kTokens + lane % 4 * 2) * 4;
#pragma unroll
    for (int tile = 0; tile < S::kTiles; tile += 2) {
        const int token = (warp / 2 * S::kTiles + tile) * 8;
        const PiecePair<S> tokens(stage + S::kTokenCodes, token, piece);
#pragma unroll
        for (int i = 0; i < 2; ++i) {
            const uint32_t at = factors + (token + 8 * i) * 4;
            float scale[2], base[2] = {};
            load_two(scale, at + S::kTokenScales);
            if constexpr (S::kBases) load_two(base, at + S::kTokenBases);
#pragma unroll
            for (int s = 0; s < 2; ++s) {
                add_terms<S, kExactStart>(y[tile + i][s], strips[s], tokens.b[i], scale, base);
            }
        }
    }
}

template <class S>
__device__ __forceinline__ void add_piece(TileSums<S>& y, const GroupTileProblem& p, int piece,
                                          bool present, uint32_t stage) {
    const int first = threadIdx.x / 32 % 2 * 2;
    const PieceStrip<S> strips[2] = {{p, stage, first, piece, present},
                                     {p, stage, first + 1, piece, present}};
    if (__all_sync(~0u, strips[0].has_exact_start() && strips[1].has_exact_start())) {
        add_tiles<S, true>(y, p, strips, piece, stage);
    } else {
        add_tiles<S, false>(y, p, strips, piece, stage);
    }
}

template <class S>
__device__ __forceinline__ void add_stage(TileSums<S>& y, const GroupTileProblem& p, int index,
                                          uint32_t stage) {
#pragma unroll 1  // registers
    for (int piece = 0; piece < S::kPieces; ++piece) {
        const bool present = index * S::kPieces + piece < p.groups.pieces;
        add_piece<S>(y, p, piece, present, stage);
    }
}

template <class S>
__device__ __forceinline__ void store_tile(const TileSums<S>& y, const GroupTileProblem& p) {
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const int row = static_cast<int>(blockIdx.y) * 64 + warp % 2 * 32 + lane / 4;
    const int token =
        static_cast<int>(blockIdx.x) * S::kTokens + warp / 2 * 8 * S::kTiles + lane % 4 * 2;
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
                p.elements.store(t, out, __fadd_rn(y[tile][half / 2][half % 2 * 2 + i], bias));
            }
        }
    }
}

template <class S>
__global__ void __launch_bounds__(kTileThreads, S::kResident)
    linear_group_tile(const __grid_constant__ GroupTileProblem p) {
    extern __shared__ __align__(128) uint8_t memory[];
    const uint32_t ring = shared_address(memory);
    const int n_stages = (p.groups.pieces + S::kPieces - 1) / S::kPieces;
    const StageCopies<S> copies(p);
    let_successor_start();
    wait_for_predecessor();
#pragma unroll 1
    for (int s = 0; s < S::kStages - 1; ++s) {
        if (s < n_stages) copies.copy(s, ring + s * S::kStageBytes);
        end_copy_group();
    }
    TileSums<S> y = {};
    int stage = 0;
    for (int s = 0; s < n_stages; ++s) {
        wait_for_copies<S::kStages - 2>();
        __syncthreads();
        const int ahead = s + S::kStages - 1;
        const int to = stage == 0 ? S::kStages - 1 : stage - 1;  // done before the barrier
        if (ahead < n_stages) copies.copy(ahead, ring + to * S::kStageBytes);
        end_copy_group();
        add_stage<S>(y, p, s, ring + stage * S::kStageBytes);
        if (++stage == S::kStages) stage = 0;
    }
    store_tile<S>(y, p);
}

GroupTileProblem tile_problem(const LinearProduct& p) {
    return {.units = p.weight.codes,
            .row_scales = p.weight.scales,
            .row_zeros = p.weight.zeros,
            .bias = p.bias,
            .tokens = p.in.codes,
            .token_scales = p.in.scales,
            .token_bases = p.in.bases,
            .elements = output_elements(p),
            .token_stride = static_cast<uint32_t>(p.in.stride),
            .n_rows = static_cast<int>(p.weight.shape.rows),
            .n_tokens = static_cast<int>(p.in.rows),
            .n_units = static_cast<int>(p.weight.shape.units_per_block()),
            .groups = piece_groups(p),
            .code_bias = code_bias(p.in.bits)};
}

template <class S>
void launch_shape(const LinearProduct& p, Stream stream) {
    const dim3 grid(static_cast<unsigned>((p.in.rows + S::kTokens - 1) / S::kTokens),
                    static_cast<unsigned>(p.weight.shape.row_blocks()));
    launch("linear_group_tile", linear_group_tile<S>,
           {.grid = grid, .block = kTileThreads, .shared_bytes = S::kStages * S::kStageBytes},
           stream, tile_problem(p));
}

template <int kTiles, bool kBases>
void launch_pieces(const LinearProduct& p, Stream stream) {
    switch (piece_columns(p)) {
        case 32:
            return launch_shape<GroupTileShape<kTiles, 1, kBases>>(p, stream);
        case 64:
            return launch_shape<GroupTileShape<kTiles, 2, kBases>>(p, stream);
        default:
            launch_shape<GroupTileShape<kTiles, 4, kBases>>(p, stream);
    }
}

template <int kTiles>
void launch_tiles(const LinearProduct& p, Stream stream) {
    if (p.in.bases != nullptr) return launch_pieces<kTiles, true>(p, stream);
    launch_pieces<kTiles, false>(p, stream);
}

}  // namespace

bool takes_group_tile(const LinearProduct& p, const DeviceInfo& device) {
    constexpr int64_t kSharedBytes = 74 * 1024;
    return !is_streamed(p.in.rows) && has_small_groups(p) && p.in.offsets == nullptr &&
           device.shared_bytes >= kSharedBytes && p.in.rows * p.in.stride < int64_t{1} << 32;
}

void launch_group_tile(const LinearProduct& p, Stream stream) {
    if (p.in.rows <= 64) return launch_tiles<2>(p, stream);
    launch_tiles<8>(p, stream);
}

}  // namespace quarot::kernels::cuda
