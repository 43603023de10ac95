// Products of at most 16 tokens: every weight is read once, at the speed of memory.
//
// A CTA owns a range of row groups of kStrips x 16 rows; columns are not split across CTAs. Its
// warps take chunks of kUnits units of a row group in turn, each with two stages of 16-byte loads
// in flight, and their sums meet in shared memory. Weights are operand A of mma.sync as they lie;
// activations lie so that a lane's 16 bytes are its operands B of two steps
// (activation_layout.h). The first weights are requested before the predecessor has ended.
#include "kernels/cuda/device/griddep.cuh"
#include "kernels/cuda/device/memory.cuh"
#include "kernels/cuda/device/mma.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/linear_epilogue.cuh"
#include "kernels/cuda/linear_kernels.h"

namespace quarot::kernels::cuda {

namespace {

struct StreamProblem {
    const uint8_t* weights;
    const uint8_t* tokens;
    FactorSource factors;
    OutputElements elements;
    int n_tokens, n_rows;
    int units;   // of 64 columns, in a row block
    int groups;  // of kStrips x 16 rows
};

// kWords: 16-byte words of a lane in a unit, 1 for nibbles and 2 for bytes. kTokenTiles: of 8
// tokens. kResident: CTAs of a multiprocessor.
template <int kWords_, int kTokenTiles_, int kStrips_, int kUnits_, int kWarps_, int kResident_>
struct StreamShape {
    static constexpr int kWords = kWords_, kTokenTiles = kTokenTiles_, kStrips = kStrips_,
                         kUnits = kUnits_, kWarps = kWarps_, kResident = kResident_;
    static constexpr int kThreads = 32 * kWarps;
    static constexpr int kSums = kStrips * kTokenTiles * 128;  // of a row group
};

// What one warp has in flight: a chunk's weights and activations.
template <class S>
struct Chunk {
    uint4 weights[S::kUnits][S::kStrips][S::kWords];
    uint4 tokens[S::kUnits][S::kTokenTiles];
};

// The chunks of a warp: of each row group in turn, every kWarps-th.
template <class S>
struct ChunkCursor {
    int group, last, chunk, n_chunks;

    __device__ ChunkCursor(const StreamProblem& p, int warp)
        : group(static_cast<int>(static_cast<int64_t>(blockIdx.x) * p.groups / gridDim.x)),
          last(static_cast<int>(static_cast<int64_t>(blockIdx.x + 1) * p.groups / gridDim.x)),
          chunk(warp),
          n_chunks(p.units / S::kUnits) {
        if (warp >= n_chunks) group = last;
    }
    __device__ bool valid() const { return group < last; }
    __device__ void advance() {
        chunk += S::kWarps;
        if (chunk >= n_chunks) {
            chunk = static_cast<int>(threadIdx.x) / 32;
            ++group;
        }
    }
};

template <class S>
__device__ __forceinline__ void load_weights(Chunk<S>& to, const StreamProblem& p,
                                             const ChunkCursor<S>& at) {
    if (!at.valid()) return;
    constexpr int kUnitBytes = 2048 * S::kWords;
    const int strip = at.group * S::kStrips;
    const uint8_t* from =
        p.weights +
        (static_cast<int64_t>(strip / 4) * p.units + at.chunk * S::kUnits) * kUnitBytes +
        strip % 4 * 512 + threadIdx.x % 32 * 16;
#pragma unroll
    for (int u = 0; u < S::kUnits; ++u) {
#pragma unroll
        for (int s = 0; s < S::kStrips; ++s) {
#pragma unroll
            for (int w = 0; w < S::kWords; ++w) {
                to.weights[u][s][w] = load_streamed(from + u * kUnitBytes + w * 2048 + s * 512);
            }
        }
    }
}

template <class S>
__device__ __forceinline__ void load_tokens(Chunk<S>& to, const StreamProblem& p,
                                            const ChunkCursor<S>& at) {
    if (!at.valid()) return;
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int u = 0; u < S::kUnits; ++u) {
        const uint8_t* run =
            p.tokens + static_cast<int64_t>(at.chunk * S::kUnits + u) * p.n_tokens * 64 + lane * 16;
#pragma unroll
        for (int t = 0; t < S::kTokenTiles; ++t) {
            to.tokens[u][t] =
                t * 8 + lane / 4 < p.n_tokens ? load_fresh(run + t * 512) : make_uint4(0, 0, 0, 0);
        }
    }
}

// Step 0 or 1 of a unit as operand A.
template <class S>
__device__ __forceinline__ void widen_step(uint32_t (&a)[4], const uint4 (&words)[S::kWords],
                                           int step) {
    const uint4 v = words[S::kWords == 1 ? 0 : step];
    const uint32_t packed[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
    for (int j = 0; j < 4; ++j) {
        if constexpr (S::kWords == 2) {
            a[j] = packed[j];
        } else {
            a[j] = (step == 0 ? packed[j] : packed[j] >> 4) & 0x0F0F0F0Fu;
        }
    }
}

template <class S>
using Sums = int32_t[S::kStrips][S::kTokenTiles][4];

template <class S>
__device__ __forceinline__ void multiply_chunk(Sums<S>& sums, const Chunk<S>& chunk) {
#pragma unroll
    for (int u = 0; u < S::kUnits; ++u) {
#pragma unroll
        for (int s = 0; s < S::kStrips; ++s) {
#pragma unroll
            for (int step = 0; step < 2; ++step) {
                uint32_t a[4];
                widen_step<S>(a, chunk.weights[u][s], step);
#pragma unroll
                for (int t = 0; t < S::kTokenTiles; ++t) {
                    const uint4& b = chunk.tokens[u][t];
                    mma_u8(sums[s][t], a, step == 0 ? b.x : b.z, step == 0 ? b.y : b.w);
                }
            }
        }
    }
}

// Factors of a row group and of the tokens in shared memory, as words.
template <class S>
struct FactorTable {
    static constexpr int kRows = 16 * S::kStrips, kTokens = 8 * S::kTokenTiles;
    static constexpr int kWords = 4 * kRows + 3 * kTokens;
    static_assert(kWords <= S::kThreads);
    int32_t rows[4][kRows];      // scale, bias, zero, sum
    int32_t tokens[3][kTokens];  // scale, zero, sum

    // The word that this thread brings, requested long before it is written: rows for every group,
    // tokens once.
    static __device__ __forceinline__ int32_t row_word(const StreamProblem& p, int group) {
        const int kind = threadIdx.x / kRows;
        const int row = min(group * kRows + static_cast<int>(threadIdx.x) % kRows, p.n_rows - 1);
        const FactorSource& f = p.factors;
        if (kind == 0) return __float_as_int(__ldg(f.row_scales + row));
        if (kind == 1) return f.bias == nullptr ? 0 : __float_as_int(__ldg(f.bias + row));
        return __ldg((kind == 2 ? f.row_zeros : f.row_sums) + row);
    }
    static __device__ __forceinline__ int32_t token_word(const StreamProblem& p) {
        const int index = static_cast<int>(threadIdx.x) - 4 * kRows;
        const TokenFactors f = p.factors.token(min(index % kTokens, p.n_tokens - 1));
        return index < kTokens ? __float_as_int(f.scale) : index < 2 * kTokens ? f.zero : f.sum;
    }
    static __device__ bool brings_row() { return threadIdx.x < 4 * kRows; }
    static __device__ bool brings_token() { return !brings_row() && threadIdx.x < kWords; }
    __device__ void write(int32_t word) {
        if (threadIdx.x < kWords) (&rows[0][0])[threadIdx.x] = word;
    }
    __device__ RowFactors row(int r) const {
        return {__int_as_float(rows[0][r]), __int_as_float(rows[1][r]), rows[2][r], rows[3][r]};
    }
    __device__ TokenFactors token(int t) const {
        return {__int_as_float(tokens[0][t]), tokens[1][t], tokens[2][t]};
    }
};

template <class S>
struct SharedMemory {
    int32_t parts[S::kWarps][S::kSums];
    FactorTable<S> factors;
};

// Adds the warps' sums of a row group, in any order alike, and writes its outputs.
template <class S>
__device__ __forceinline__ void finish_group(const StreamProblem& p, Sums<S>& sums, int group,
                                             int32_t& word, SharedMemory<S>& shared) {
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    __syncthreads();  // the previous group's sums and factors have been read
    shared.factors.write(word);
    if (FactorTable<S>::brings_row()) word = FactorTable<S>::row_word(p, group + 1);
#pragma unroll
    for (int s = 0; s < S::kStrips; ++s) {
#pragma unroll
        for (int t = 0; t < S::kTokenTiles; ++t) {
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                shared.parts[warp][(s * S::kTokenTiles + t) * 128 + i * 32 + lane] = sums[s][t][i];
                sums[s][t][i] = 0;
            }
        }
    }
    __syncthreads();
    for (int e = threadIdx.x; e < S::kSums; e += S::kThreads) {
        const int l = e % 32, i = e / 32 % 4, tile = e / 128 % S::kTokenTiles;
        const int in_group = e / (128 * S::kTokenTiles) * 16 + l / 4 + 8 * (i / 2);
        const int row = group * S::kStrips * 16 + in_group, token = tile * 8 + 2 * (l % 4) + i % 2;
        if (token >= p.n_tokens || row >= p.n_rows) continue;
        int32_t sum = 0;
#pragma unroll
        for (int w = 0; w < S::kWarps; ++w) sum += shared.parts[w][e];
        p.elements.store(token, row,
                         finish(sum, shared.factors.row(in_group), shared.factors.token(token)));
    }
}

template <class S>
__global__ void __launch_bounds__(S::kThreads, S::kResident)
    linear_stream(const __grid_constant__ StreamProblem p) {
    extern __shared__ uint8_t memory[];
    SharedMemory<S>& shared = *reinterpret_cast<SharedMemory<S>*>(memory);
    let_successor_start();
    const int warp = threadIdx.x / 32;
    ChunkCursor<S> load(p, warp);
    Chunk<S> chunks[2];
    const ChunkCursor<S> first = load;
    load_weights<S>(chunks[0], p, load);
    load.advance();
    const ChunkCursor<S> second = load;
    load_weights<S>(chunks[1], p, load);
    load.advance();
    int group = static_cast<int>(static_cast<int64_t>(blockIdx.x) * p.groups / gridDim.x);
    int32_t word = 0;
    if (FactorTable<S>::brings_row()) word = FactorTable<S>::row_word(p, group);
    wait_for_predecessor();
    load_tokens<S>(chunks[0], p, first);
    load_tokens<S>(chunks[1], p, second);
    if (FactorTable<S>::brings_token()) word = FactorTable<S>::token_word(p);

    Sums<S> sums = {};
    const int n_chunks = first.n_chunks, last = first.last;
    int chunk = warp;
    while (group < last) {
#pragma unroll
        for (int i = 0; i < 2; ++i) {
            if (group >= last) break;
            if (chunk < n_chunks) {
                multiply_chunk<S>(sums, chunks[i]);
                load_weights<S>(chunks[i], p, load);
                load_tokens<S>(chunks[i], p, load);
                load.advance();
            }
            chunk += S::kWarps;
            if (chunk >= n_chunks) {  // my last chunk of this row group
                finish_group<S>(p, sums, group, word, shared);
                chunk = warp;
                ++group;
            }
        }
    }
}

template <class S>
void launch_shape(const LinearProduct& product, Stream stream) {
    const WeightShape& shape = product.weight.shape;
    const StreamProblem problem = {.weights = product.weight.codes,
                                   .tokens = product.in.codes,
                                   .factors = factor_source(product),
                                   .elements = output_elements(product),
                                   .n_tokens = static_cast<int>(product.in.rows),
                                   .n_rows = static_cast<int>(shape.rows),
                                   .units = static_cast<int>(shape.units_per_block()),
                                   .groups = static_cast<int>(shape.row_blocks() * 4 / S::kStrips)};
    const int resident = current_device().multiprocessors * S::kResident;
    launch("linear_stream", linear_stream<S>,
           {.grid = static_cast<unsigned>(min(problem.groups, resident)),
            .block = S::kThreads,
            .shared_bytes = sizeof(SharedMemory<S>)},
           stream, problem);
}

// Few rows: one CTA of many warps on each multiprocessor, so that all of them have work.
constexpr int64_t kFewRows = 8192;

template <int kWords>
void launch_width(const LinearProduct& product, Stream stream) {
    const bool few = product.weight.shape.rows <= kFewRows;
    if (product.in.rows <= 8) {
        const bool ragged = product.weight.shape.units_per_block() % (4 / kWords) != 0;
        if (few || ragged)
            return launch_shape<StreamShape<kWords, 1, 2, 2 / kWords, 16, 1>>(product, stream);
        return launch_shape<StreamShape<kWords, 1, 2, 4 / kWords, 8, 2>>(product, stream);
    }
    if (few) return launch_shape<StreamShape<kWords, 2, 2, 2 / kWords, 16, 1>>(product, stream);
    launch_shape<StreamShape<kWords, 2, 2, 2 / kWords, 8, 2>>(product, stream);
}

}  // namespace

void launch_stream(const LinearProduct& product, Stream stream) {
    if (product.weight.shape.bits <= 4) return launch_width<1>(product, stream);
    launch_width<2>(product, stream);
}

}  // namespace quarot::kernels::cuda
