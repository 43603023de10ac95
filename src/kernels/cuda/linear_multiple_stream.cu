// Products of at most 16 tokens in multiples (activation_layout.h): every weight is read once. The
// sums are those of LinearProduct: segments of 512 columns, each by a warp, which adds its own to
// what the one before it hands over.
//
// Strips and rings are those of linear_group_stream.cu. v comes in bytes, 256 a + b and both
// signed: the eight columns of mma.sync are four tokens' b and a, side by side, or one token's in
// four pieces, so that a lane's sums of b and a belong together. What a alone cannot hold, of rows
// of 8-bit codes, is added by products with a third byte, read from memory as they are needed: such
// rows are the first positions of a sequence.
#include "kernels/cuda/device/async_copy.cuh"
#include "kernels/cuda/device/griddep.cuh"
#include "kernels/cuda/device/mbarrier.cuh"
#include "kernels/cuda/device/memory.cuh"
#include "kernels/cuda/device/mma.cuh"
#include "kernels/cuda/device/signed_weights.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/linear_group_pieces.h"
#include "kernels/cuda/linear_multiple_copies.cuh"
#include "kernels/cuda/linear_stream.cuh"

namespace quarot::kernels::cuda {

namespace {

template <class S>
struct MultipleMemory {
    uint8_t ring[S::kWarps][S::kStages][S::kStageBytes];
    float sums[S::kWarps][S::kTiles][2][32];  // handed over, by lane
    uint64_t full[S::kWarps], empty[S::kWarps];
};

// Operands of a chunk in registers.
template <class S>
struct ChunkPlanes {
    uint32_t weights[S::kUnits][4];  // nibbles
    uint32_t tokens[S::kTiles][S::kFragments][2];

    // `planes`: where this lane's plane of a kept token's chunk lies.
    __device__ __forceinline__ ChunkPlanes(uint32_t stage, uint32_t planes,
                                           const LanePlane<S>& of) {
        const int lane = threadIdx.x % 32;
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
                const uint32_t from =
                    S::kKept ? planes + of.offset(c, 1, 0)
                             : stage + S::kTokenBytes +
                                   ((tile * S::kTokenCopies + c) * 32 + lane) * S::kCopyBytes;
                if constexpr (S::kCopyBytes == 8) {
                    const uint2 two = load_shared_pair(from);
                    tokens[tile][c][0] = two.x, tokens[tile][c][1] = two.y;
                } else {
                    const uint4 four = load_shared(from);
                    tokens[tile][2 * c][0] = four.x, tokens[tile][2 * c][1] = four.y;
                    tokens[tile][2 * c + 1][0] = four.z, tokens[tile][2 * c + 1][1] = four.w;
                }
            }
        }
    }
    // Operand A of a step: w - zero. zeros: four times that of each of the lane's rows.
    __device__ __forceinline__ void widen(uint32_t (&a)[4], int step,
                                          const uint32_t (&zeros)[2]) const {
#pragma unroll
        for (int j = 0; j < 4; ++j) {
            a[j] = signed_weights(weights[step / 2][j], 4 * (step % 2), zeros[j % 2]);
        }
    }
    // The same as 16 w.
    __device__ __forceinline__ void widen_raw(uint32_t (&a)[4], int step) const {
#pragma unroll
        for (int j = 0; j < 4; ++j) {
            const uint32_t word = weights[step / 2][j];
            a[j] = (step % 2 == 0 ? word << 4 : word) & 0xF0F0F0F0u;
        }
    }
};

// Integer sums of a set of pieces: of each tile, a lane's two rows and the planes of one token or
// piece. One token leaves the tensor cores time to sum v as well, by a product with ones: then zero
// points are taken off afterwards, and operand A is 16 w, which takes the fewest operations.
template <class S>
struct SetSums {
    static constexpr bool kRaw = S::kTokens == 1;
    int32_t products[S::kTiles][4] = {}, multiples[4] = {};

    // fragment(tile, i): operand B of a lane's i-th step of its plane.
    template <class Fragment>
    __device__ __forceinline__ void add(const MultipleStreamProblem& p,
                                        const ChunkPlanes<S>& operands, const LanePlane<S>& lane,
                                        uint32_t stage, int set, const Fragment& fragment) {
        constexpr int kSetSteps = S::kSlots * S::kPieceSteps;
        constexpr uint32_t kOnes[4] = {0x01010101u, 0x01010101u, 0x01010101u, 0x01010101u};
        uint32_t zeros[2] = {};
#pragma unroll
        for (int j = 0; j < kSetSteps; ++j) {
            const int slot = j / S::kPieceSteps;
            const bool own = S::kSlots == 1 || lane.slot == slot;
            uint32_t a[4];
            if constexpr (kRaw) {
                operands.widen_raw(a, set * kSetSteps + j);
            } else {
                if (j % S::kPieceSteps == 0) load_zeros(zeros, p, stage, set * S::kSlots + slot);
                operands.widen(a, set * kSetSteps + j, zeros);
            }
#pragma unroll
            for (int tile = 0; tile < S::kTiles; ++tile) {
                uint2 b = fragment(tile, set * S::kPieceSteps + j % S::kPieceSteps);
                if (!own) b = {};
                if constexpr (kRaw) {
                    mma_u8s8(products[tile], a, b.x, b.y);
                    mma_s8(multiples, kOnes, b.x, b.y);
                } else {
                    mma_s8(products[tile], a, b.x, b.y);
                }
            }
        }
    }
    // sum (w - zero) v of a row. `piece`: this lane's.
    __device__ __forceinline__ int32_t exact(const MultipleStreamProblem& p, uint32_t stage,
                                             int piece, int tile, int h) const {
        const int32_t sum = products[tile][2 * h] + products[tile][2 * h + 1] * 256;
        if constexpr (!kRaw) return sum;
        const int32_t zero = load_shared_byte(stage + S::kRowZeros + row_of(p, piece, h));
        return (sum >> 4) - zero * (multiples[2 * h] + multiples[2 * h + 1] * 256);
    }
    // Where the factors of a lane's row lie among those of a stage.
    static __device__ __forceinline__ int row_of(const MultipleStreamProblem& p, int piece, int h) {
        return (piece >> p.weights.groups.row_shift) * 16 + threadIdx.x % 32 / 4 + 8 * h;
    }

  private:
    static __device__ __forceinline__ void load_zeros(uint32_t (&zeros)[2],
                                                      const MultipleStreamProblem& p,
                                                      uint32_t stage, int piece) {
#pragma unroll
        for (int h = 0; h < 2; ++h) {
            zeros[h] = 0x01010101u * load_shared_byte(stage + S::kRowZeros + row_of(p, piece, h));
        }
    }
};

// A lane's sums of a segment: its two rows of one token of each tile.
template <class S>
using SegmentSums = float[S::kTiles][2];

// Adds a set's terms. Where its pieces lie in four lanes, each takes all of them in order.
template <class S>
__device__ __forceinline__ void add_set(SegmentSums<S>& y, const MultipleStreamProblem& p,
                                        const SetSums<S>& sums, uint32_t stage, int set,
                                        int n_pieces) {
    const int lane = threadIdx.x % 32, own = set * S::kSlots + (S::kSlots > 1 ? lane % 4 : 0);
#pragma unroll
    for (int h = 0; h < 2; ++h) {
        float scales[S::kSlots];
#pragma unroll
        for (int slot = 0; slot < S::kSlots; ++slot) {
            const int row = SetSums<S>::row_of(p, set * S::kSlots + slot, h);
            scales[slot] = __uint_as_float(load_shared_word(stage + S::kRowScales + row * 4));
        }
#pragma unroll
        for (int tile = 0; tile < S::kTiles; ++tile) {
            const float mine = __int2float_rn(sums.exact(p, stage, own, tile, h));
#pragma unroll
            for (int slot = 0; slot < S::kSlots; ++slot) {
                const float sum =
                    S::kSlots > 1 ? __shfl_sync(~0u, mine, lane / 4 * 4 + slot) : mine;
                const float added = __fmaf_rn(sum, scales[slot], y[tile][h]);
                if (set * S::kSlots + slot < n_pieces) y[tile][h] = added;
            }
        }
    }
}

// The way of a strip's sums from warp to warp: each adds its segment to those of the segments
// before, in order. Every warp has a place for one hand-over, and a pair of mbarriers.
template <class S>
struct HandOver {
    MultipleMemory<S>& shared;
    const int warp = static_cast<int>(threadIdx.x) / 32,
              before = (warp + S::kWarps - 1) % S::kWarps;
    uint32_t given = 1, taken = 0;  // parities

    __device__ __forceinline__ void take(SegmentSums<S>& y, bool is_first) {
        if (!is_first) barrier_await(shared_address(&shared.full[before]), taken);
#pragma unroll
        for (int i = 0; i < 2 * S::kTiles; ++i) {
            float& sum = y[i / 2][i % 2];
            sum = __fadd_rn(is_first ? 0.0f : shared.sums[before][i / 2][i % 2][threadIdx.x % 32],
                            sum);
        }
        if (is_first) return;
        arrive_warp(shared_address(&shared.empty[before]));
        taken ^= 1;
    }
    __device__ __forceinline__ void give(const SegmentSums<S>& y) {
        barrier_await(shared_address(&shared.empty[warp]), given);
#pragma unroll
        for (int i = 0; i < 2 * S::kTiles; ++i) {
            shared.sums[warp][i / 2][i % 2][threadIdx.x % 32] = y[i / 2][i % 2];
        }
        arrive_warp(shared_address(&shared.full[warp]));
        given ^= 1;
    }
};

// A lane's outputs: two rows of a token of each tile.
template <class S>
struct LaneOutputs {
    const int pair = static_cast<int>(threadIdx.x) % 4;
    float units[S::kTiles];

    // After wait_for_predecessor.
    __device__ explicit LaneOutputs(const MultipleStreamProblem& p) {
#pragma unroll
        for (int tile = 0; tile < S::kTiles; ++tile) {
            const int token = min(4 * tile + pair, p.weights.stream.n_tokens - 1);
            units[tile] = load_fresh(&p.token_units[token].unit);
        }
    }
    __device__ __forceinline__ void store(const MultipleStreamProblem& p, int strip,
                                          const SegmentSums<S>& y) const {
        const StreamPart& part = p.weights.stream.part_of(strip);
#pragma unroll
        for (int h = 0; h < 2; ++h) {
            const int out =
                (strip - part.first_strip) * 16 + static_cast<int>(threadIdx.x) % 32 / 4 + 8 * h;
            if (out >= part.n_rows) continue;
            const float* bias = part.factors.bias;
            const float added = bias == nullptr ? 0.0f : __ldg(bias + out);
#pragma unroll
            for (int tile = 0; tile < S::kTiles; ++tile) {
                const int token = 4 * tile + pair;
                if (token >= p.weights.stream.n_tokens) continue;
                part.elements.store(token, out,
                                    __fadd_rn(__fmul_rn(y[tile][h], units[tile]), added));
            }
        }
    }
};

// Fills a warp's ring, with what the predecessor wrote after its end.
template <class S>
__device__ __forceinline__ void fill_ring(const MultipleStreamProblem& p, GroupCursor<S>& ahead,
                                          const LanePlane<S>& lane, const KeptPlanes<S>& kept,
                                          ThirdPlane<S>& third, uint32_t ring) {
    GroupCursor<S> tokens_ahead = ahead;
#pragma unroll 1
    for (int s = 0; s < S::kStages; ++s, ahead.advance(p.weights)) {
        copy_weights<S>(ring + s * S::kStageBytes, p.weights, ahead);
        copy_row_factors<S>(ring + s * S::kStageBytes, p.weights, ahead);
        if constexpr (S::kKept) end_copy_group();
    }
    wait_for_predecessor();
    third.find(p);
    if constexpr (S::kKept) {
        kept.load(p);
    } else {
#pragma unroll 1
        for (int s = 0; s < S::kStages; ++s, tokens_ahead.advance(p.weights)) {
            copy_planes<S>(ring + s * S::kStageBytes, p, lane, tokens_ahead);
            end_copy_group();
        }
    }
}

// Adds the terms of a chunk that lies in a stage.
template <class S>
__device__ __forceinline__ void add_chunk(SegmentSums<S>& y, const MultipleStreamProblem& p,
                                          const ChunkPlanes<S>& operands,
                                          const ThirdPlane<S>& third, const LanePlane<S>& lane,
                                          uint32_t stage, int chunk) {
    const int n_pieces = p.weights.groups.pieces - chunk * S::kPieces;
#pragma unroll
    for (int set = 0; set < S::kSets; ++set) {
        SetSums<S> sums;
        sums.add(p, operands, lane, stage, set, [&](int tile, int i) {
            return uint2{operands.tokens[tile][i][0], operands.tokens[tile][i][1]};
        });
        if (third.present) {  // apart, so that others do not step over its instructions
            sums.add(p, operands, lane, stage, set,
                     [&](int tile, int i) { return third.fragment(p, lane, tile, chunk, i); });
        }
        add_set<S>(y, p, sums, stage, set, n_pieces);
    }
}

template <class S>
__global__ void __launch_bounds__(S::kThreads, S::kResident)
    linear_multiple_stream(const __grid_constant__ MultipleStreamProblem p) {
    extern __shared__ __align__(128) uint8_t memory[];
    MultipleMemory<S>& shared = *reinterpret_cast<MultipleMemory<S>*>(memory);
    const int warp = threadIdx.x / 32;
    const uint32_t ring = shared_address(shared.ring[warp]);
    let_successor_start();
    if (threadIdx.x < S::kWarps) {
        barrier_init(shared_address(&shared.full[threadIdx.x]), kWarpArrivals);
        barrier_init(shared_address(&shared.empty[threadIdx.x]), kWarpArrivals);
    }
    __syncthreads();
    const StripRange range(p.weights.stream.strips);
    GroupCursor<S> ahead(p.weights, range);
    const int of_strip = ahead.n_runs();  // segments
    const LanePlane<S> lane;
    const KeptPlanes<S> kept(p, shared_address(memory + sizeof(MultipleMemory<S>)));
    ThirdPlane<S> third;
    fill_ring<S>(p, ahead, lane, kept, third, ring);
    const LaneOutputs<S> outputs(p);
    HandOver<S> hand_over{shared};
    int stage = 0;
#pragma unroll 1
    for (int segment = warp; segment < (range.last - range.first) * of_strip;
         segment += S::kWarps) {
        const int in_strip = segment % of_strip;
        SegmentSums<S> y = {};
#pragma unroll 1
        for (int chunk = in_strip * S::kRun; chunk < (in_strip + 1) * S::kRun; ++chunk) {
            wait_for_copies<S::kStages - 1>();
            __syncwarp();  // what the other lanes copied
            const uint32_t at = ring + stage * S::kStageBytes;
            const ChunkPlanes<S> operands(at, S::kKept ? kept.of_chunk(lane, chunk) : 0, lane);
            __syncwarp();
            copy_weights<S>(at, p.weights, ahead);
            if constexpr (!S::kKept) copy_planes<S>(at, p, lane, ahead);
            add_chunk<S>(y, p, operands, third, lane, at, chunk);
            __syncwarp();  // nobody reads the stage from here on
            copy_row_factors<S>(at, p.weights, ahead);
            end_copy_group();
            ahead.advance(p.weights);
            if (++stage == S::kStages) stage = 0;
        }
        hand_over.take(y, in_strip == 0);
        if (in_strip + 1 < of_strip) {
            hand_over.give(y);
        } else {
            outputs.store(p, range.first + segment / of_strip, y);
        }
    }
}

MultipleStreamProblem multiple_problem(std::span<const LinearProduct> products) {
    const LinearProduct& first = products.front();
    MultipleStreamProblem problem = {};
    problem.weights.stream = stream_problem(products);
    problem.weights.row_zeros = true;
    problem.weights.groups = multiple_pieces(first);
    problem.multiples = first.in.multiples;
    problem.token_units = first.in.row_units;
    problem.plane_bytes = static_cast<uint32_t>(first.in.rows * first.in.stride);
    return problem;
}

template <class S>
int shared_bytes(const MultipleStreamProblem& problem) {
    return static_cast<int>(sizeof(MultipleMemory<S>)) +
           (S::kKept ? 2 * KeptPlanes<S>::plane_bytes_of(problem) : 0);
}

template <class S>
void launch_shape(const MultipleStreamProblem& problem, Stream stream) {
    static_assert(sizeof(MultipleMemory<S>) <= kGroupCtaBytes);
    const int resident = current_device().multiprocessors * S::kResident;
    launch("linear_multiple_stream", linear_multiple_stream<S>,
           {.grid = static_cast<unsigned>(min(problem.weights.stream.strips, resident)),
            .block = S::kThreads,
            .shared_bytes = shared_bytes<S>(problem)},
           stream, problem);
}

// One token is kept where there is room, as in linear_group_stream.cu.
template <int kPieceSteps>
void launch_one_token(const MultipleStreamProblem& problem, Stream stream) {
    using Kept = MultipleShape<1, kPieceSteps, true>;
    if (shared_bytes<Kept>(problem) <= kGroupCtaBytes) return launch_shape<Kept>(problem, stream);
    launch_shape<MultipleShape<1, kPieceSteps>>(problem, stream);
}

template <int kPieceSteps>
void launch_tokens(std::span<const LinearProduct> products, Stream stream) {
    const MultipleStreamProblem problem = multiple_problem(products);
    const int tokens = problem.weights.stream.n_tokens;
    if (tokens == 1) return launch_one_token<kPieceSteps>(problem, stream);
    if (tokens <= 4) return launch_shape<MultipleShape<4, kPieceSteps>>(problem, stream);
    if (tokens <= 8) return launch_shape<MultipleShape<8, kPieceSteps>>(problem, stream);
    launch_shape<MultipleShape<16, kPieceSteps>>(problem, stream);
}

}  // namespace

void launch_multiple_stream(std::span<const LinearProduct> products, Stream stream) {
    switch (multiple_piece_columns(products.front())) {
        case 32:
            return launch_tokens<1>(products, stream);
        case 64:
            return launch_tokens<2>(products, stream);
        default:
            launch_tokens<4>(products, stream);
    }
}

}  // namespace quarot::kernels::cuda
