// Products of at most 16 tokens where either side has groups: every weight is read once, with its
// group's scale and zero point. Sums end at every border of a group, which cuts a row into pieces;
//
//   y += (sum * scale of the row) * scale of the token [+ (sum of weights * scale) * base]
//
// in fp32, in order of the pieces: the order is what keeps warps from adding for themselves.
//
// A CTA owns a range of strips of 16 rows; its warps take chunks of kUnits units in turn, through
// rings of copies (linear_stream.cu), and leave each piece's term in shared memory. Further warps
// add the terms of one chunk after the other: each of 8 warps has a place for one chunk, a pair of
// mbarriers hands it over and back.
//
// mma.sync has room for 8 columns of tokens. Fewer tokens leave it to pieces: operand B of a step
// is zero but for the columns of its piece, so that the sums of 8 / kTokens pieces fill all lanes
// and are finished together.
//
// Both operands are signed: 16 (w - 8), and 2^(8-bits) (a - bias). A product with ones gives what
// zero points need: sums of a piece's codes, and of its weights. Sums start at 1.5 * 2^23, whose
// bits make them floats.
#include "kernels/cuda/device/async_copy.cuh"
#include "kernels/cuda/device/float_bits.cuh"
#include "kernels/cuda/device/griddep.cuh"
#include "kernels/cuda/device/mbarrier.cuh"
#include "kernels/cuda/device/memory.cuh"
#include "kernels/cuda/device/mma.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/linear_group_copies.cuh"
#include "kernels/cuda/linear_group_pieces.h"
#include "kernels/cuda/linear_group_shape.cuh"
#include "kernels/cuda/linear_stream.cuh"

namespace quarot::kernels::cuda {

namespace {

constexpr float kWeightUnit = 0.0625f;  // of sums of weights

template <class S>
struct GroupMemory {
    uint8_t ring[S::kWarps][S::kStages][S::kStageBytes];
    float terms[S::kWarps][S::kTerms];
    uint64_t full[S::kWarps], empty[S::kWarps];
};

// Operands of a chunk in registers.
template <class S>
struct ChunkOperands {
    uint32_t weights[S::kUnits][4];                // nibbles
    uint32_t tokens[S::kTiles][S::kFragments][2];  // signed

    __device__ __forceinline__ ChunkOperands(uint32_t stage, uint32_t codes, int code_shift) {
        const uint32_t lane = threadIdx.x % 32;
#pragma unroll
        for (int u = 0; u < S::kUnits; ++u) {
            const uint4 four = load_shared(stage + u * 512 + lane * 16);
            weights[u][0] = four.x, weights[u][1] = four.y;
            weights[u][2] = four.z, weights[u][3] = four.w;
        }
#pragma unroll
        for (int tile = 0; tile < S::kTiles; ++tile) {
#pragma unroll
            for (int c = 0; c < S::kTokenCopies; ++c) {
                const uint32_t from = codes + place_of(tile, c);
                if constexpr (S::kCopyBytes == 8) {
                    const uint2 two = load_shared_pair(from);
                    set_tokens(tile, c, two.x, two.y, code_shift);
                } else {
                    const uint4 four = load_shared(from);
                    set_tokens(tile, 2 * c, four.x, four.y, code_shift);
                    set_tokens(tile, 2 * c + 1, four.z, four.w, code_shift);
                }
            }
        }
    }
    // Operand A of a step.
    __device__ __forceinline__ void widen(uint32_t (&a)[4], int step) const {
#pragma unroll
        for (int j = 0; j < 4; ++j) {
            const uint32_t word = weights[step / 2][j];
            a[j] = ((step % 2 == 0 ? word << 4 : word) & 0xF0F0F0F0u) ^ 0x80808080u;
        }
    }

  private:
    // Of a lane's copy in a chunk of a ring, or in the order of memory.
    static __device__ __forceinline__ uint32_t place_of(int tile, int copy) {
        const int lane = threadIdx.x % 32;
        if constexpr (S::kKept) {
            LaneColumn<S> column;
            column.slot = min(column.slot, S::kSlots - 1);
            const int step = column.step(copy * S::kCopyBytes / 8);
            return step / 2 * 64 + lane % 4 * 16 + step % 2 * 8;
        } else {
            return ((tile * S::kTokenCopies + copy) * 32 + lane) * S::kCopyBytes;
        }
    }
    __device__ __forceinline__ void set_tokens(int tile, int fragment, uint32_t first,
                                               uint32_t second, int code_shift) {
        tokens[tile][fragment][0] = (first << code_shift) ^ 0x80808080u;
        tokens[tile][fragment][1] = (second << code_shift) ^ 0x80808080u;
    }
};

// Sums of a lane's two rows and two columns: of products, of the tokens' codes, of the weights.
template <class S>
struct SetSums {
    int32_t products[S::kTiles][4], tokens[S::kTiles][4], weights[4];
};

template <class S>
__device__ __forceinline__ void start_sums(SetSums<S>& sums) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
#pragma unroll
        for (int tile = 0; tile < S::kTiles; ++tile) {
            sums.products[tile][i] = kFloatBits;
            sums.tokens[tile][i] = 0;
        }
        sums.weights[i] = kFloatBits;
    }
}

template <class S>
__device__ __forceinline__ void multiply_set(SetSums<S>& sums, const ChunkOperands<S>& operands,
                                             int set) {
    constexpr uint32_t kOnes[4] = {0x01010101u, 0x01010101u, 0x01010101u, 0x01010101u};
    constexpr int kSetSteps = S::kSlots * S::kPieceSteps;
    const LaneColumn<S> column;
    start_sums(sums);
#pragma unroll
    for (int j = 0; j < kSetSteps; ++j) {
        const bool own = S::kSlots == 1 || column.slot == j / S::kPieceSteps;
        const int fragment = set * S::kPieceSteps + j % S::kPieceSteps;
        uint32_t a[4];
        operands.widen(a, set * kSetSteps + j);
#pragma unroll
        for (int tile = 0; tile < S::kTiles; ++tile) {
            const uint32_t b0 = own ? operands.tokens[tile][fragment][0] : 0;
            const uint32_t b1 = own ? operands.tokens[tile][fragment][1] : 0;
            mma_s8(sums.products[tile], a, b0, b1);
            if constexpr (S::kZeroPoints) mma_s8(sums.tokens[tile], kOnes, b0, b1);
        }
        if constexpr (S::kZeroPoints) {
            const uint32_t ones = own ? kOnes[0] : 0;
            mma_s8(sums.weights, a, ones, ones);
        }
    }
}

// A lane's two rows in one piece.
template <class S>
struct PieceRows {
    float scale[2], weights[2];  // weights: (sum of w - zero) * scale
    int32_t excess[2], sum[2];   // 16 (zero - 8); sum of w - zero

    __device__ __forceinline__ PieceRows(const GroupStreamProblem& p, uint32_t stage, int piece,
                                         const int32_t (&sums)[4], int column) {
        const int first = (piece >> p.groups.row_shift) * 16 + threadIdx.x % 32 / 4;
#pragma unroll
        for (int h = 0; h < 2; ++h) {
            const int row = first + 8 * h;
            scale[h] = __uint_as_float(load_shared_word(stage + S::kRowScales + row * 4));
            if constexpr (S::kZeroPoints) {
                excess[h] = 0;
                if (p.row_zeros) {
                    excess[h] =
                        16 * static_cast<int>(load_shared_byte(stage + S::kRowZeros + row)) - 128;
                }
                const int32_t bits = sums[2 * h + column] - 32 * S::kPieceSteps * excess[h];
                const float exact =
                    __fmaf_rn(__int_as_float(bits), kWeightUnit, -kFloatStart * kWeightUnit);
                weights[h] = __fmul_rn(exact, scale[h]);
                sum[h] = (bits - kFloatBits) >> 4;
            }
        }
    }
};

// A lane's tokens in one piece: those of both its columns, or one where columns are pieces.
template <class S>
struct PieceTokens {
    static constexpr int kCount = S::kColumnTokens == 1 ? 1 : 2;
    float scale[kCount];
    uint32_t zero[kCount] = {};  // bases or offsets, or zeros of neither

    __device__ __forceinline__ PieceTokens(const GroupStreamProblem& p, const TokenPlaces& places,
                                           int piece, int token) {
        const uint32_t at = ((piece >> p.groups.token_shift) * S::kTokens + token) * 4;
        uint32_t bits[kCount];
        load(bits, places.scales + at);
        for (int i = 0; i < kCount; ++i) scale[i] = __uint_as_float(bits[i]);
        if (S::kZeroPoints && p.token_zeros != nullptr) load(zero, places.zeros + at);
    }

  private:
    static __device__ __forceinline__ void load(uint32_t (&to)[kCount], uint32_t from) {
        if constexpr (kCount == 1) {
            to[0] = load_shared_word(from);
        } else {
            const uint2 two = load_shared_pair(from);
            to[0] = two.x;
            to[1] = two.y;
        }
    }
};

// What a piece adds to an output. `zero`: the token's base, or with kOffsets its offset.
template <class S, bool kOffsets>
__device__ __forceinline__ float term(const GroupStreamProblem& p, const PieceRows<S>& rows, int h,
                                      int32_t bits, float scale, uint32_t zero) {
    if constexpr (kOffsets) {
        const int32_t sum = (bits - kFloatBits) >> p.unit_shift;
        const float exact = __int2float_rn(sum - static_cast<int32_t>(zero) * rows.sum[h]);
        return __fmul_rn(__fmul_rn(exact, rows.scale[h]), scale);
    } else {
        const float exact = __fmaf_rn(__int_as_float(bits), p.unit, p.start);
        const float product = __fmul_rn(__fmul_rn(exact, rows.scale[h]), scale);
        if constexpr (S::kZeroPoints) {
            return __fadd_rn(product, __fmul_rn(rows.weights[h], __uint_as_float(zero)));
        } else {
            return product;
        }
    }
}

// Leaves the terms of a set of pieces at `terms`, in shared memory.
template <class S, bool kOffsets>
__device__ __forceinline__ void finish_set(const GroupStreamProblem& p, const SetSums<S>& sums,
                                           int set, uint32_t stage, const TokenPlaces& places,
                                           uint32_t terms) {
    constexpr int kTogether = PieceTokens<S>::kCount;  // columns of one piece
    const int first = threadIdx.x % 4 * 2, row = threadIdx.x % 32 / 4;
    if (first / S::kColumnTokens >= S::kSlots) return;
    terms += (set * S::kSlots * S::kTokens + first) * (S::kPitch * 4) + row * 4;
#pragma unroll
    for (int i = 0; i < 2; i += kTogether) {
        const int piece = set * S::kSlots + (first + i) / S::kColumnTokens;
        const PieceRows<S> rows(p, stage, piece, sums.weights, i);
#pragma unroll
        for (int tile = 0; tile < S::kTiles; ++tile) {
            const PieceTokens<S> tokens(p, places, piece, first % S::kColumnTokens + 8 * tile);
#pragma unroll
            for (int e = 0; e < 2 * kTogether; ++e) {
                const int h = e / kTogether, column = i + e % kTogether;
                int32_t bits = sums.products[tile][2 * h + column];
                if constexpr (S::kZeroPoints) bits -= rows.excess[h] * sums.tokens[tile][column];
                const float y = term<S, kOffsets>(p, rows, h, bits, tokens.scale[e % kTogether],
                                                  tokens.zero[e % kTogether]);
                const uint32_t to = terms + ((8 * tile + column) * S::kPitch + 8 * h) * 4;
                store_shared(to, y);
            }
        }
    }
}

// Terms of a chunk.
template <class S>
__device__ __forceinline__ void multiply_chunk(const GroupStreamProblem& p,
                                               const ChunkOperands<S>& operands, uint32_t stage,
                                               const TokenPlaces& places, uint32_t terms) {
#pragma unroll
    for (int set = 0; set < S::kSets; ++set) {
        SetSums<S> sums;
        multiply_set<S>(sums, operands, set);
        if (S::kZeroPoints && p.token_offsets) {
            finish_set<S, S::kZeroPoints>(p, sums, set, stage, places, terms);
        } else {
            finish_set<S, false>(p, sums, set, stage, places, terms);
        }
    }
}

// Fills a warp's ring, with what the predecessor wrote after its end.
template <class S>
__device__ __forceinline__ void fill_ring(const GroupStreamProblem& p, GroupCursor<S>& ahead,
                                          const TokenCopies<S>& of_tokens,
                                          const KeptTokens<S>& kept, uint32_t ring) {
    GroupCursor<S> tokens_ahead = ahead;
#pragma unroll 1
    for (int s = 0; s < S::kStages; ++s, ahead.advance(p)) {
        copy_weights<S>(ring + s * S::kStageBytes, p, ahead);
        copy_row_factors<S>(ring + s * S::kStageBytes, p, ahead);
        if constexpr (S::kKept) end_copy_group();
    }
    wait_for_predecessor();
    if constexpr (S::kKept) {
        kept.load(p);
    } else {
#pragma unroll 1
        for (int s = 0; s < S::kStages; ++s, tokens_ahead.advance(p)) {
            copy_tokens<S>(ring + s * S::kStageBytes, p, of_tokens, tokens_ahead);
            copy_token_factors<S>(ring + s * S::kStageBytes, p, of_tokens, tokens_ahead);
            end_copy_group();
        }
    }
}

// A warp that multiplies. `kept_tokens`: shared memory behind the ring.
template <class S>
__device__ __forceinline__ void multiply_chunks(const GroupStreamProblem& p, GroupMemory<S>& shared,
                                                const StripRange& range, uint32_t kept_tokens) {
    const int warp = threadIdx.x / 32;
    const uint32_t ring = shared_address(shared.ring[warp]);
    const uint32_t terms = shared_address(shared.terms[warp]);
    const uint32_t full = shared_address(&shared.full[warp]);
    const uint32_t empty = shared_address(&shared.empty[warp]);
    GroupCursor<S> ahead(p, range);
    const TokenCopies<S> of_tokens(p);
    const KeptTokens<S> kept(p, kept_tokens);
    int in_row = ahead.run;
    fill_ring<S>(p, ahead, of_tokens, kept, ring);
    const int n_chunks = (range.last - range.first) * ahead.n_chunks;
    int stage = 0;
    uint32_t parity = 1;
    for (int chunk = warp; chunk < n_chunks; chunk += S::kWarps, parity ^= 1) {
        wait_for_copies<S::kStages - 1>();
        __syncwarp();  // what the other lanes copied
        const uint32_t at = ring + stage * S::kStageBytes;
        const TokenPlaces places =
            S::kKept ? kept.of_chunk(p, in_row)
                     : TokenPlaces{at + S::kTokenCodes, at + S::kTokenScales, at + S::kTokenZeros};
        const ChunkOperands<S> operands(at, places.codes, p.code_shift);
        __syncwarp();
        copy_weights<S>(at, p, ahead);
        if constexpr (!S::kKept) copy_tokens<S>(at, p, of_tokens, ahead);
        barrier_await(empty, parity);
        multiply_chunk<S>(p, operands, at, places, terms);
        arrive_warp(full);  // nobody reads the stage from here on
        copy_row_factors<S>(at, p, ahead);
        if constexpr (!S::kKept) copy_token_factors<S>(at, p, of_tokens, ahead);
        end_copy_group();
        ahead.advance(p);
        in_row += S::kWarps;
        while (in_row >= ahead.n_chunks) in_row -= ahead.n_chunks;
        if (++stage == S::kStages) stage = 0;
    }
}

// A lane's sums: 16 rows of each token, token by token, dealt out to all adders.
template <class S>
struct LaneSums {
    static constexpr int kLanes = 32 * S::kAdders;
    static constexpr int kOfLane = 16 * S::kTokens < kLanes ? 1 : 16 * S::kTokens / kLanes;
    const int first = static_cast<int>(threadIdx.x) - 32 * S::kWarps;
    float y[kOfLane] = {};

    __device__ int token(int k) const { return (first + k * kLanes) / 16; }
    __device__ int row() const { return first % 16; }
    __device__ __forceinline__ void load(float (&to)[kOfLane][S::kPieces], uint32_t terms) const {
#pragma unroll
        for (int k = 0; k < kOfLane; ++k) {
            const int token_here = min(token(k), S::kTokens - 1);
#pragma unroll
            for (int piece = 0; piece < S::kPieces; ++piece) {
                const int at = (piece * S::kTokens + token_here) * S::kPitch + row();
                to[k][piece] = __uint_as_float(load_shared_word(terms + at * 4));
            }
        }
    }
    __device__ __forceinline__ void add(const float (&terms)[kOfLane][S::kPieces], int n_pieces) {
#pragma unroll
        for (int piece = 0; piece < S::kPieces; ++piece) {
            if (piece >= n_pieces) break;
#pragma unroll
            for (int k = 0; k < kOfLane; ++k) y[k] = __fadd_rn(y[k], terms[k][piece]);
        }
    }
    // Stores the outputs of a strip and clears the sums.
    __device__ __forceinline__ void store(const GroupStreamProblem& p, int strip) {
        const StreamPart& part = p.stream.part_of(strip);
        const int out = (strip - part.first_strip) * 16 + row();
#pragma unroll
        for (int k = 0; k < kOfLane; ++k) {
            if (out < part.n_rows && token(k) < p.stream.n_tokens) {
                const float* bias = part.factors.bias;
                const float added = bias == nullptr ? 0.0f : __ldg(bias + out);
                part.elements.store(token(k), out, __fadd_rn(y[k], added));
            }
            y[k] = 0.0f;
        }
    }
};

// A warp that adds. The terms of the next chunk are on their way while those of one are added.
template <class S>
__device__ __forceinline__ void add_chunks(const GroupStreamProblem& p, GroupMemory<S>& shared,
                                           const StripRange& range) {
    const int row_chunks = (p.stream.units + S::kUnits - 1) / S::kUnits;
    const int n_chunks = (range.last - range.first) * row_chunks;
    LaneSums<S> sums;
    float next[LaneSums<S>::kOfLane][S::kPieces];
    const auto load = [&](int chunk) {
        const int warp = chunk % S::kWarps;
        barrier_await(shared_address(&shared.full[warp]), chunk / S::kWarps % 2);
        sums.load(next, shared_address(shared.terms[warp]));
    };
    wait_for_predecessor();
    load(0);
    int strip = range.first, in_row = 0;
    for (int chunk = 0; chunk < n_chunks; ++chunk) {
        float terms[LaneSums<S>::kOfLane][S::kPieces];
#pragma unroll
        for (int k = 0; k < LaneSums<S>::kOfLane; ++k) {
#pragma unroll
            for (int piece = 0; piece < S::kPieces; ++piece) terms[k][piece] = next[k][piece];
        }
        if (chunk + 1 < n_chunks) load(chunk + 1);
        sums.add(terms, p.groups.pieces - in_row * S::kPieces);
        arrive_warp(shared_address(&shared.empty[chunk % S::kWarps]));
        if (++in_row == row_chunks) {
            sums.store(p, strip++);
            in_row = 0;
        }
    }
}

template <class S>
__global__ void __launch_bounds__(S::kThreads, kGroupCtas)
    linear_group_stream(const __grid_constant__ GroupStreamProblem p) {
    extern __shared__ __align__(128) uint8_t memory[];
    GroupMemory<S>& shared = *reinterpret_cast<GroupMemory<S>*>(memory);
    let_successor_start();
    if (threadIdx.x < S::kWarps) {
        barrier_init(shared_address(&shared.full[threadIdx.x]), kWarpArrivals);
        barrier_init(shared_address(&shared.empty[threadIdx.x]), S::kAdders * kWarpArrivals);
    }
    __syncthreads();
    const StripRange range(p.stream.strips);
    if (threadIdx.x < 32 * S::kWarps) {
        multiply_chunks<S>(p, shared, range, shared_address(memory + sizeof(GroupMemory<S>)));
    } else {
        add_chunks<S>(p, shared, range);
    }
}

GroupStreamProblem group_problem(std::span<const LinearProduct> products) {
    const LinearProduct& first = products.front();
    GroupStreamProblem problem = {};
    problem.stream = stream_problem(products);
    const ActivationView& in = first.in;
    problem.token_scales = in.scales;
    problem.token_offsets = in.offsets != nullptr;
    problem.token_zeros = problem.token_offsets ? reinterpret_cast<const uint32_t*>(in.offsets)
                                                : reinterpret_cast<const uint32_t*>(in.bases);
    problem.row_zeros = !first.weight.shape.symmetric;
    problem.groups = piece_groups(first);
    problem.code_shift = 8 - in.bits;
    problem.unit_shift = 4 + problem.code_shift;
    problem.unit = 1.0f / static_cast<float>(1 << problem.unit_shift);
    problem.start = -kFloatStart * problem.unit;
    return problem;
}

template <class S>
int shared_bytes(const GroupStreamProblem& problem) {
    return static_cast<int>(sizeof(GroupMemory<S>)) +
           (S::kKept ? KeptTokens<S>::bytes(problem) : 0);
}

template <class S>
void launch_shape(const GroupStreamProblem& problem, Stream stream) {
    static_assert(sizeof(GroupMemory<S>) <= kGroupCtaBytes);
    const int resident = current_device().multiprocessors * kGroupCtas;
    launch("linear_group_stream", linear_group_stream<S>,
           {.grid = static_cast<unsigned>(min(problem.stream.strips, resident)),
            .block = S::kThreads,
            .shared_bytes = shared_bytes<S>(problem)},
           stream, problem);
}

// One token is kept where there is room: 264 CTAs would ask for the same few lines of L2 at once
// otherwise. Pieces of 32 columns take too long for that to matter, and use the room for the ring.
template <int kPieceSteps, bool kZeroPoints>
void launch_one_token(const GroupStreamProblem& problem, Stream stream) {
    if constexpr (kPieceSteps == 1) {
        launch_shape<GroupShape<1, kPieceSteps, kZeroPoints>>(problem, stream);
    } else {
        using Kept = GroupShape<1, kPieceSteps, kZeroPoints, true>;
        if (shared_bytes<Kept>(problem) <= kGroupCtaBytes) {
            return launch_shape<Kept>(problem, stream);
        }
        launch_shape<GroupShape<4, kPieceSteps, kZeroPoints>>(problem, stream);
    }
}

template <int kPieceSteps, bool kZeroPoints>
void launch_tokens(const GroupStreamProblem& problem, Stream stream) {
    const int tokens = problem.stream.n_tokens;
    if (tokens == 1) return launch_one_token<kPieceSteps, kZeroPoints>(problem, stream);
    if (tokens <= 4) return launch_shape<GroupShape<4, kPieceSteps, kZeroPoints>>(problem, stream);
    if (tokens <= 8) return launch_shape<GroupShape<8, kPieceSteps, kZeroPoints>>(problem, stream);
    launch_shape<GroupShape<16, kPieceSteps, kZeroPoints>>(problem, stream);
}

template <int kPieceSteps>
void launch_pieces(std::span<const LinearProduct> products, Stream stream) {
    const GroupStreamProblem problem = group_problem(products);
    if (problem.row_zeros || problem.token_zeros != nullptr) {
        return launch_tokens<kPieceSteps, true>(problem, stream);
    }
    launch_tokens<kPieceSteps, false>(problem, stream);
}

}  // namespace

bool takes_group_stream(const LinearProduct& p, const DeviceInfo& device) {
    return is_streamed(p.in.rows) && has_small_groups(p) && device.shared_bytes >= kGroupCtaBytes;
}

void launch_group_stream(std::span<const LinearProduct> products, Stream stream) {
    const int64_t piece = piece_columns(products.front());
    if (piece == 32) return launch_pieces<1>(products, stream);
    if (piece == 64) return launch_pieces<2>(products, stream);
    launch_pieces<4>(products, stream);
}

}  // namespace quarot::kernels::cuda
