// Products of at most 16 tokens: every weight is read once, at the speed of memory. Up to three
// matrices that share their tokens go in one launch, the strips of one behind those of another.
//
// A CTA owns a range of strips of 16 rows and takes kStrips of them at a time; columns are not
// split across CTAs. Its warps take chunks of kUnits units in turn. Each lane keeps a ring of its
// own copies in shared memory, kStages chunks deep, and reads nothing that another lane copied: the
// ring needs no barrier. (Loads into registers would do as well, but ptxas lets all of them share
// one scoreboard, so that the first chunk waits for the last.) The lanes' sums meet in shared
// memory.
//
// Weights are operand A of mma.sync as they lie; activations lie so that a lane's 16 bytes are its
// operands B of two steps (activation_layout.h). The first weights are requested before the
// predecessor has ended.
#include "kernels/cuda/device/async_copy.cuh"
#include "kernels/cuda/device/griddep.cuh"
#include "kernels/cuda/device/mbarrier.cuh"
#include "kernels/cuda/device/mma.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/linear_stream.cuh"

namespace quarot::kernels::cuda {

namespace {

// kWords: 16-byte words of a lane in a strip of a unit, 1 for nibbles and 2 for bytes. kTokenTiles:
// of 8 tokens.
template <int kWords_, int kTokenTiles_, int kStrips_, int kUnits_, int kStages_, int kWarps_>
struct StreamShape {
    static constexpr int kWords = kWords_, kTokenTiles = kTokenTiles_, kStrips = kStrips_,
                         kUnits = kUnits_, kStages = kStages_, kWarps = kWarps_;
    static constexpr int kThreads = 32 * kWarps;
    static constexpr int kUnitBytes = 2048 * kWords;
    static constexpr int kWeightCopies = kUnits * kStrips * kWords;  // of a lane in a chunk
    static constexpr int kStageBytes = 512 * (kWeightCopies + kUnits * kTokenTiles);  // of a warp
    static constexpr int kRows = 16 * kStrips, kTokens = 8 * kTokenTiles;
    static constexpr int kPitch = kRows + 4;  // of sums: the lanes of a warp meet in no bank
    static constexpr int kFactors = 4 * kRows + 4 * kTokens;  // words
};

// Groups take turns with two sets of sums, so that one barrier a group is enough: nobody adds to a
// set before everybody has passed the barrier behind which it was read and cleared.
template <class S>
struct SharedMemory {
    uint8_t ring[S::kWarps][S::kStages][S::kStageBytes];
    int32_t sums[2][S::kTokens][S::kPitch];
    FactorTable<S> factors[2];
};

// CTAs of a multiprocessor of compute capability 9.0, which has 228 KB and takes 1 KB a CTA.
template <class S>
constexpr int kResident = sizeof(SharedMemory<S>) <= 113 * 1024 ? 2 : 1;

// The chunks of a warp: of each row group in turn, every S::kWarps-th.
template <class S>
struct ChunkCursor {
    int strip, last, chunk, n_chunks;
    uint64_t policy = streamed_policy();
    const uint8_t* weights[S::kStrips];  // of this lane in the first unit of each strip

    __device__ ChunkCursor(const StreamProblem& p, const StripRange& range)
        : strip(range.first),
          last(range.last),
          chunk(static_cast<int>(threadIdx.x) / 32),
          n_chunks(p.units / S::kUnits) {
        if (chunk >= n_chunks) strip = last;
        find_weights(p);
    }
    __device__ bool valid() const { return strip < last; }
    __device__ void advance(const StreamProblem& p) {
        chunk += S::kWarps;
        if (chunk >= n_chunks) {
            chunk = static_cast<int>(threadIdx.x) / 32;
            strip += S::kStrips;
            find_weights(p);
        }
    }

  private:
    __device__ void find_weights(const StreamProblem& p) {
#pragma unroll
        for (int s = 0; s < S::kStrips; ++s) {
            const StreamPart& part = p.part_of(strip + s);
            const int at = strip + s - part.first_strip;
            weights[s] = part.weights + at / 4 * static_cast<int64_t>(p.units) * S::kUnitBytes +
                         at % 4 * 512 + threadIdx.x % 32 * 16;
        }
    }
};

// Strips beyond the CTA's last are not copied: what lies there is multiplied and dropped.
template <class S>
__device__ __forceinline__ void copy_weights(uint32_t to, const ChunkCursor<S>& at) {
    if (!at.valid()) return;
#pragma unroll
    for (int s = 0; s < S::kStrips; ++s) {
        if (s > 0 && at.strip + s >= at.last) break;
        const uint8_t* from =
            at.weights[s] + static_cast<int64_t>(at.chunk) * (S::kUnits * S::kUnitBytes);
#pragma unroll
        for (int c = 0; c < S::kUnits * S::kWords; ++c) {
            copy_streamed(to + (s * S::kUnits * S::kWords + c) * 512, from + c * 2048, at.policy);
        }
    }
}

template <class S>
__device__ __forceinline__ void copy_tokens(uint32_t to, const StreamProblem& p,
                                            const ChunkCursor<S>& at) {
    if (!at.valid()) return;
    const int lane = threadIdx.x % 32;
    const uint8_t* from =
        p.tokens + static_cast<int64_t>(at.chunk) * S::kUnits * p.n_tokens * 64 + lane * 16;
#pragma unroll
    for (int u = 0; u < S::kUnits; ++u) {
#pragma unroll
        for (int t = 0; t < S::kTokenTiles; ++t) {
            copy_async_or_zero(to + (S::kWeightCopies + u * S::kTokenTiles + t) * 512,
                               from + u * p.n_tokens * 64 + t * 512, t * 8 + lane / 4 < p.n_tokens);
        }
    }
}

template <class S>
using Sums = int32_t[S::kStrips][S::kTokenTiles][4];

template <class S>
__device__ __forceinline__ void multiply_chunk(Sums<S>& sums, uint32_t stage) {
#pragma unroll
    for (int u = 0; u < S::kUnits; ++u) {
        uint4 b[S::kTokenTiles];
#pragma unroll
        for (int t = 0; t < S::kTokenTiles; ++t) {
            b[t] = load_shared(stage + (S::kWeightCopies + u * S::kTokenTiles + t) * 512);
        }
#pragma unroll
        for (int s = 0; s < S::kStrips; ++s) {
            uint32_t a[2][4];
            load_strip<S::kWords>(a, stage + (s * S::kUnits + u) * S::kWords * 512);
#pragma unroll
            for (int t = 0; t < S::kTokenTiles; ++t) {
                mma_u8(sums[s][t], a[0], b[t].x, b[t].y);
                mma_u8(sums[s][t], a[1], b[t].z, b[t].w);
            }
        }
    }
}

// Adds this warp's sums to the row group's. Integers: any order gives the same.
template <class S>
__device__ __forceinline__ void add_sums(int32_t (&to)[S::kTokens][S::kPitch], Sums<S>& sums,
                                         int n_tokens) {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int s = 0; s < S::kStrips; ++s) {
#pragma unroll
        for (int t = 0; t < S::kTokenTiles; ++t) {
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                const int token = t * 8 + 2 * (lane % 4) + i % 2;
                if (token < n_tokens) {
                    atomicAdd(&to[token][s * 16 + lane / 4 + 8 * (i / 2)], sums[s][t][i]);
                }
                sums[s][t][i] = 0;
            }
        }
    }
}

// Writes the outputs of a row group and clears its sums.
template <class S>
__device__ __forceinline__ void write_group(const StreamProblem& p, int strip, int last,
                                            int32_t (&sums)[S::kTokens][S::kPitch],
                                            const FactorTable<S>& factors) {
    for (int e = threadIdx.x; e < p.n_tokens * S::kRows; e += S::kThreads) {
        const int token = e / S::kRows, row = e % S::kRows;
        const int32_t sum = sums[token][row];
        sums[token][row] = 0;
        if (strip + row / 16 >= last) continue;
        const StreamPart& part = p.part_of(strip + row / 16);
        const int out = (strip - part.first_strip) * 16 + row;
        if (out >= part.n_rows) continue;
        part.elements.store(token, out, finish(sum, factors.row(row), factors.token(token)));
    }
}

template <class S>
__global__ void __launch_bounds__(S::kThreads, kResident<S>)
    linear_stream(const __grid_constant__ StreamProblem p) {
    extern __shared__ __align__(128) uint8_t memory[];
    SharedMemory<S>& shared = *reinterpret_cast<SharedMemory<S>*>(memory);
    let_successor_start();
    const StripRange range(p.strips);
    const int warp = threadIdx.x / 32;
    const uint32_t ring = shared_address(shared.ring[warp]) + threadIdx.x % 32 * 16;
    ChunkCursor<S> ahead(p, range), token_cursor = ahead;
#pragma unroll
    for (int s = 0; s < S::kStages; ++s) {
        copy_weights<S>(ring + s * S::kStageBytes, ahead);
        ahead.advance(p);
    }
    FactorWords<S> words = {};
    words.request_rows(p, range.first);
    for (int e = threadIdx.x; e < 2 * S::kTokens * S::kPitch; e += S::kThreads) {
        (&shared.sums[0][0][0])[e] = 0;
    }
    __syncthreads();
    wait_for_predecessor();
#pragma unroll
    for (int s = 0; s < S::kStages; ++s) {
        copy_tokens<S>(ring + s * S::kStageBytes, p, token_cursor);
        token_cursor.advance(p);
        end_copy_group();
    }
    words.request_tokens(p);

    Sums<S> sums = {};
    const int n_chunks = p.units / S::kUnits;
    int stage = 0, turn = 0;
    for (int strip = range.first; strip < range.last; strip += S::kStrips, turn ^= 1) {
        for (int chunk = warp; chunk < n_chunks; chunk += S::kWarps) {
            wait_for_copies<S::kStages - 1>();
            const uint32_t at = ring + stage * S::kStageBytes;
            multiply_chunk<S>(sums, at);
            copy_weights<S>(at, ahead);
            copy_tokens<S>(at, p, ahead);
            end_copy_group();
            ahead.advance(p);
            if (++stage == S::kStages) stage = 0;
        }
        add_sums<S>(shared.sums[turn], sums, p.n_tokens);
        words.write(shared.factors[turn]);
        words.request_rows(p, strip + S::kStrips);
        __syncthreads();
        write_group<S>(p, strip, range.last, shared.sums[turn], shared.factors[turn]);
    }
}

template <class S>
void launch_shape(std::span<const LinearProduct> products, Stream stream) {
    const StreamProblem problem = stream_problem(products);
    const int groups = (problem.strips + S::kStrips - 1) / S::kStrips;
    const int resident = current_device().multiprocessors * kResident<S>;
    launch("linear_stream", linear_stream<S>,
           {.grid = static_cast<unsigned>(min(groups, resident)),
            .block = S::kThreads,
            .shared_bytes = sizeof(SharedMemory<S>)},
           stream, problem);
}

// Shapes in the order words, token tiles, strips, units, stages, warps; by measurement on an H200
// (docs/cuda.md). Rows that fill no multiprocessor twice with two strips each go one by one.
void launch_deep(std::span<const LinearProduct> products, Stream stream) {
    const WeightShape& shape = products.front().weight.shape;
    const int64_t tokens = products.front().in.rows;
    const int strips = strips_of(products), all = current_device().multiprocessors;
    if (shape.bits > 4) {
        if (tokens <= 8) return launch_shape<StreamShape<2, 1, 2, 1, 5, 8>>(products, stream);
        return launch_shape<StreamShape<2, 2, 2, 1, 4, 8>>(products, stream);
    }
    if (tokens > 8) {
        if (strips <= 2 * all) return launch_shape<StreamShape<1, 2, 1, 2, 4, 8>>(products, stream);
        return launch_shape<StreamShape<1, 2, 2, 2, 3, 8>>(products, stream);
    }
    if (strips <= 2 * all && shape.units_per_block() % 4 == 0) {
        return launch_shape<StreamShape<1, 1, 1, 4, 3, 8>>(products, stream);
    }
    if (strips <= 4 * all) return launch_shape<StreamShape<1, 1, 2, 2, 4, 16>>(products, stream);
    launch_shape<StreamShape<1, 1, 2, 2, 4, 8>>(products, stream);
}

// Where a block has less than 100 KB of shared memory.
void launch_shallow(std::span<const LinearProduct> products, Stream stream) {
    const bool few = products.front().in.rows <= 8;
    if (products.front().weight.shape.bits > 4) {
        if (few) return launch_shape<StreamShape<2, 1, 2, 1, 3, 8>>(products, stream);
        return launch_shape<StreamShape<2, 2, 2, 1, 2, 8>>(products, stream);
    }
    if (few) return launch_shape<StreamShape<1, 1, 2, 2, 2, 8>>(products, stream);
    launch_shape<StreamShape<1, 2, 2, 2, 2, 8>>(products, stream);
}

}  // namespace

void launch_stream(std::span<const LinearProduct> products, Stream stream) {
    constexpr int kDeepBytes = 224 * 1024;
    if (current_device().shared_bytes >= kDeepBytes) return launch_deep(products, stream);
    launch_shallow(products, stream);
}

}  // namespace quarot::kernels::cuda
