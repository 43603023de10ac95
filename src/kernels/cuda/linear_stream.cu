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
#include "kernels/cuda/device/memory.cuh"
#include "kernels/cuda/device/mma.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/linear_epilogue.cuh"
#include "kernels/cuda/linear_kernels.h"

namespace quarot::kernels::cuda {

namespace {

// One matrix and its outputs.
struct StreamPart {
    const uint8_t* weights;
    FactorSource factors;
    OutputElements elements;
    int n_rows;
    int first_strip;  // of 16 rows; the last part ends at StreamProblem::strips
};

struct StreamProblem {
    StreamPart parts[kMostTogether];
    int n_parts;
    const uint8_t* tokens;
    int n_tokens;
    int units;   // of 64 columns, in a row block
    int strips;  // of all parts

    __device__ const StreamPart& part_of(int strip) const {
        int i = 0;
#pragma unroll
        for (int next = 1; next < kMostTogether; ++next) {
            if (next < n_parts && strip >= parts[next].first_strip) i = next;
        }
        return parts[i];
    }
};

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
    static constexpr int kFactors = 4 * kRows + 3 * kTokens;  // words
};

// Factors of a row group and of the tokens.
template <class S>
struct FactorTable {
    int32_t rows[4][S::kRows];      // scale, bias, zero, sum
    int32_t tokens[3][S::kTokens];  // scale, zero, sum

    __device__ RowFactors row(int r) const {
        return {__int_as_float(rows[0][r]), __int_as_float(rows[1][r]), rows[2][r], rows[3][r]};
    }
    __device__ TokenFactors token(int t) const {
        return {__int_as_float(tokens[0][t]), tokens[1][t], tokens[2][t]};
    }
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

// The strips of this CTA.
struct StripRange {
    int first, last;

    __device__ explicit StripRange(const StreamProblem& p)
        : first(static_cast<int>(static_cast<int64_t>(blockIdx.x) * p.strips / gridDim.x)),
          last(static_cast<int>(static_cast<int64_t>(blockIdx.x + 1) * p.strips / gridDim.x)) {}
};

// The chunks of a warp: of each row group in turn, every S::kWarps-th.
template <class S>
struct ChunkCursor {
    int strip, last, chunk, n_chunks;
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
            copy_streamed(to + (s * S::kUnits * S::kWords + c) * 512, from + c * 2048);
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

// Steps 0 and 1 of a strip of a unit as operands A.
template <class S>
__device__ __forceinline__ void load_strip(uint32_t (&a)[2][4], uint32_t from) {
    const uint4 first = load_shared(from);
    const uint32_t packed[4] = {first.x, first.y, first.z, first.w};
    if constexpr (S::kWords == 2) {
        const uint4 second = load_shared(from + 512);
        const uint32_t others[4] = {second.x, second.y, second.z, second.w};
#pragma unroll
        for (int j = 0; j < 4; ++j) {
            a[0][j] = packed[j];
            a[1][j] = others[j];
        }
    } else {
#pragma unroll
        for (int j = 0; j < 4; ++j) {
            a[0][j] = packed[j] & 0x0F0F0F0Fu;
            a[1][j] = (packed[j] >> 4) & 0x0F0F0F0Fu;
        }
    }
}

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
            load_strip<S>(a, stage + (s * S::kUnits + u) * S::kWords * 512);
#pragma unroll
            for (int t = 0; t < S::kTokenTiles; ++t) {
                mma_u8(sums[s][t], a[0], b[t].x, b[t].y);
                mma_u8(sums[s][t], a[1], b[t].z, b[t].w);
            }
        }
    }
}

// Rows' factors come from memory that nothing else has touched: requested a group ahead, one or two
// words a thread.
template <class S>
struct FactorWords {
    static constexpr int kOfThread = (S::kFactors + S::kThreads - 1) / S::kThreads;
    int32_t words[kOfThread];

    __device__ __forceinline__ void request_rows(const StreamProblem& p, int strip) {
#pragma unroll
        for (int i = 0; i < kOfThread; ++i) {
            const int index = static_cast<int>(threadIdx.x) + i * S::kThreads;
            if (index >= 4 * S::kRows) break;
            const int kind = index / S::kRows;
            const StreamPart& part = p.part_of(strip + index % S::kRows / 16);
            const int first = (strip - part.first_strip) * 16;
            const int row = min(first + index % S::kRows, part.n_rows - 1);
            const FactorSource& f = part.factors;
            if (kind == 1) {
                words[i] = f.bias == nullptr ? 0 : __float_as_int(__ldg(f.bias + row));
            } else {
                const auto* from = kind == 0   ? reinterpret_cast<const int32_t*>(f.row_scales)
                                   : kind == 2 ? f.row_zeros
                                               : f.row_sums;
                words[i] = __ldg(from + row);
            }
        }
    }
    __device__ __forceinline__ void request_tokens(const StreamProblem& p) {
#pragma unroll
        for (int i = 0; i < kOfThread; ++i) {
            const int index = static_cast<int>(threadIdx.x) + i * S::kThreads - 4 * S::kRows;
            if (index < 0 || index >= 3 * S::kTokens) continue;
            const TokenFactors f =
                p.parts[0].factors.token(min(index % S::kTokens, p.n_tokens - 1));
            const int kind = index / S::kTokens;
            words[i] = kind == 0 ? __float_as_int(f.scale) : kind == 1 ? f.zero : f.sum;
        }
    }
    __device__ __forceinline__ void write(FactorTable<S>& to) const {
#pragma unroll
        for (int i = 0; i < kOfThread; ++i) {
            const int index = static_cast<int>(threadIdx.x) + i * S::kThreads;
            if (index < S::kFactors) (&to.rows[0][0])[index] = words[i];
        }
    }
};

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
    const StripRange range(p);
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

int strips_of(const LinearProduct& product) {
    return static_cast<int>((product.weight.shape.rows + 15) / 16);
}

int strips_of(std::span<const LinearProduct> products) {
    int strips = 0;
    for (const LinearProduct& product : products) strips += strips_of(product);
    return strips;
}

template <class S>
void launch_shape(std::span<const LinearProduct> products, Stream stream) {
    const LinearProduct& first = products.front();
    StreamProblem problem = {};
    problem.tokens = first.in.codes;
    problem.n_tokens = static_cast<int>(first.in.rows);
    problem.units = static_cast<int>(first.weight.shape.units_per_block());
    for (const LinearProduct& product : products) {
        problem.parts[problem.n_parts++] = {
            product.weight.codes, factor_source(product), output_elements(product),
            static_cast<int>(product.weight.shape.rows), problem.strips};
        problem.strips += strips_of(product);
    }
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
