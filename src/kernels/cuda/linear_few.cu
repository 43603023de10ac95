// Products of so few tokens that their codes fit into shared memory beside a deep ring of weights.
//
// A CTA owns a range of strips of 16 rows; its warps take chunks of kUnits units of a strip in
// turn, as linear_stream.cu does, but the ring holds weights alone: a CTA has asked for up to 96 KB
// before the activations are there, all of a 4096 x 4096 matrix and more. The sums of a round of
// strips meet in shared memory, one barrier a round.
//
// Until the predecessor has ended, a warp asks for a chunk only when its last has come: what the
// predecessor loads would wait behind all of them. One more warp waits for the predecessor and
// brings the activations.
#include "kernels/cuda/device/async_copy.cuh"
#include "kernels/cuda/device/griddep.cuh"
#include "kernels/cuda/device/mbarrier.cuh"
#include "kernels/cuda/device/mma.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/linear_stream.cuh"

namespace quarot::kernels::cuda {

namespace {

// Two CTAs share a multiprocessor of compute capability 9.0. With all of its 228 KB, 113 KB a CTA
// and 1 KB that each takes, only one was resident.
constexpr int kResident = 2;
constexpr int64_t kCtaBytes = 112 * 1024;

// Of all codes. One warp brings them: more take longer than the deeper ring saves (docs/cuda.md).
constexpr int64_t kMostTokenBytes = 8192;

// kWords: 16-byte words of a lane in a strip of a unit, 1 for nibbles and 2 for bytes. kStages:
// chunks of kUnits units in a warp's ring.
template <int kWords_, int kUnits_, int kStages_>
struct FewShape {
    static constexpr int kWords = kWords_, kUnits = kUnits_, kStages = kStages_;
    static constexpr int kWarps = 8, kThreads = 32 * kWarps;  // that multiply
    static constexpr int kUnitBytes = 2048 * kWords;
    static constexpr int kStageBytes = 512 * kUnits * kWords;  // of a warp
    static constexpr int kStrips = 8;                          // of a round
    static constexpr int kRows = 16 * kStrips, kTokens = kMostFewTokens;
    static constexpr int kPitch = kRows + 4;    // of sums: the lanes of a warp meet in no bank
    static constexpr int kFactors = 4 * kRows;  // words that FactorWords brings: of rows alone
};

template <class S>
struct SharedMemory {
    uint8_t ring[S::kWarps][S::kStages][S::kStageBytes];
    int32_t sums[S::kTokens][S::kPitch];
    FactorTable<S> factors;
    uint64_t predecessor_ended;  // a barrier of one arrival
    uint4 tokens[1];             // all codes, as they lie in memory
};

template <class S>
constexpr int64_t shared_bytes(int64_t token_bytes) {
    return static_cast<int64_t>(sizeof(SharedMemory<S>)) + token_bytes;
}

// A warp's ring: each lane copies what it will read itself, so no barrier is needed.
template <class S>
class WeightRing {
  public:
    __device__ WeightRing(const StreamProblem& p, const StripRange& range, uint32_t memory)
        : memory_(memory + threadIdx.x % 32 * 16), strip_(range.first), last_(range.last) {
        chunk_ = first_chunk();
        if (chunk_ >= n_chunks(p)) strip_ = last_;
        find_weights(p);
    }
    static __device__ int n_chunks(const StreamProblem& p) { return p.units / S::kUnits; }
    static __device__ int first_chunk() { return static_cast<int>(threadIdx.x) / 32; }

    // All stages, one at a time until the phase of `hurry` is complete.
    __device__ void fill(const StreamProblem& p, uint32_t hurry) {
#pragma unroll 1
        for (int s = 0; s < S::kStages; ++s) {
            if (!barrier_done(hurry, 0)) wait_for_copies<0>();
            request_next(p);
        }
    }
    // This lane's words of the oldest chunk.
    __device__ uint32_t wait() const {
        wait_for_copies<S::kStages - 1>();
        return memory_ + stage_ * S::kStageBytes;
    }
    // Asks for another chunk in place of the oldest.
    __device__ __forceinline__ void request_next(const StreamProblem& p) {
        if (strip_ < last_) {
            const uint8_t* from =
                weights_ + static_cast<int64_t>(chunk_) * (S::kUnits * S::kUnitBytes);
            const uint32_t to = memory_ + stage_ * S::kStageBytes;
#pragma unroll
            for (int c = 0; c < S::kUnits * S::kWords; ++c) {
                copy_streamed(to + c * 512, from + c * 2048, policy_);
            }
            chunk_ += S::kWarps;
            if (chunk_ >= n_chunks(p)) {
                chunk_ = first_chunk();
                ++strip_;
                find_weights(p);
            }
        }
        end_copy_group();
        if (++stage_ == S::kStages) stage_ = 0;
    }

  private:
    __device__ void find_weights(const StreamProblem& p) {
        const StreamPart& part = p.part_of(strip_);
        const int at = strip_ - part.first_strip;
        weights_ = part.weights + at / 4 * static_cast<int64_t>(p.units) * S::kUnitBytes +
                   at % 4 * 512 + threadIdx.x % 32 * 16;
    }

    uint64_t policy_ = streamed_policy();
    uint32_t memory_;
    int strip_, last_, chunk_, stage_ = 0;  // of the next request
    const uint8_t* weights_;                // of this lane in the strip's first unit
};

// What the predecessor wrote, loaded by one warp: the others may still wait for weights.
template <class S>
__device__ __forceinline__ void load_tokens(SharedMemory<S>& shared, const StreamProblem& p) {
    const int pieces = p.units * p.n_tokens * 4, lane = threadIdx.x % 32;
    const auto* from = reinterpret_cast<const uint4*>(p.tokens);
    if (lane < p.n_tokens) {
        const TokenFactors f = p.parts[0].factors.token(lane);
        shared.factors.tokens[0][lane] = __float_as_int(f.scale);
        shared.factors.tokens[1][lane] = f.zero;
        shared.factors.tokens[2][lane] = f.sum;
        shared.factors.tokens[3][lane] = __float_as_int(f.base);
    }
    constexpr int kAhead = 8;
    for (int i = lane; i < pieces; i += 32 * kAhead) {
        uint4 words[kAhead];
#pragma unroll
        for (int j = 0; j < kAhead; ++j) {
            if (i + 32 * j < pieces) words[j] = load_fresh(from + i + 32 * j);
        }
#pragma unroll
        for (int j = 0; j < kAhead; ++j) {
            if (i + 32 * j < pieces) shared.tokens[i + 32 * j] = words[j];
        }
    }
}

// `tokens`: this lane's word of the chunk's first run of 64 columns, in shared memory.
template <class S>
__device__ __forceinline__ void multiply_chunk(int32_t (&sums)[4], uint32_t stage, uint32_t tokens,
                                               int n_tokens) {
    const bool present = static_cast<int>(threadIdx.x % 32 / 4) < n_tokens;
#pragma unroll
    for (int u = 0; u < S::kUnits; ++u) {
        uint4 b = {};
        if (present) b = load_shared(tokens + u * n_tokens * 64);
        uint32_t a[2][4];
        load_strip<S::kWords>(a, stage + u * S::kWords * 512);
        mma_u8(sums, a[0], b.x, b.y);
        mma_u8(sums, a[1], b.z, b.w);
    }
}

// Adds this warp's sums to those of a strip. Integers: any order gives the same.
template <class S>
__device__ __forceinline__ void add_sums(SharedMemory<S>& shared, int strip, int32_t (&sums)[4],
                                         int n_tokens) {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        const int token = 2 * (lane % 4) + i % 2;
        if (token < n_tokens) {
            atomicAdd(&shared.sums[token][16 * strip + lane / 4 + 8 * (i / 2)], sums[i]);
        }
        sums[i] = 0;
    }
}

// A warp's chunks of strips first .. end - 1.
template <class S>
__device__ __forceinline__ void multiply_round(const StreamProblem& p, SharedMemory<S>& shared,
                                               WeightRing<S>& ring, int first, int end) {
    const uint32_t tokens = shared_address(shared.tokens) + threadIdx.x % 32 * 16;
    int32_t sums[4] = {};
    for (int strip = first; strip < end; ++strip) {
        for (int chunk = ring.first_chunk(); chunk < ring.n_chunks(p); chunk += S::kWarps) {
            multiply_chunk<S>(sums, ring.wait(), tokens + chunk * S::kUnits * p.n_tokens * 64,
                              p.n_tokens);
            ring.request_next(p);
        }
        add_sums(shared, strip - first, sums, p.n_tokens);
    }
}

// Writes the outputs of strips first .. end - 1 and clears their sums.
template <class S>
__device__ __forceinline__ void write_round(const StreamProblem& p, SharedMemory<S>& shared,
                                            int first, int end) {
    const int rows = 16 * (end - first);
    for (int e = threadIdx.x; e < p.n_tokens * rows; e += S::kThreads + 32) {
        const int token = e / rows, row = e % rows;
        const int32_t sum = shared.sums[token][row];
        shared.sums[token][row] = 0;
        const StreamPart& part = p.part_of(first + row / 16);
        const int out = (first - part.first_strip) * 16 + row;
        if (out >= part.n_rows) continue;
        const FactorTable<S>& factors = shared.factors;
        part.elements.store(token, out, finish(sum, factors.row(row), factors.token(token)));
    }
}

// The warp that waits for the predecessor, and lets the others know.
template <class S>
__device__ __forceinline__ void bring_tokens(const StreamProblem& p, SharedMemory<S>& shared) {
    wait_for_predecessor();
    if (threadIdx.x % 32 == 0) barrier_arrive(shared_address(&shared.predecessor_ended));
    load_tokens(shared, p);
}

template <class S>
__global__ void __launch_bounds__(S::kThreads + 32, kResident)
    linear_few(const __grid_constant__ StreamProblem p) {
    extern __shared__ __align__(128) uint8_t memory[];
    SharedMemory<S>& shared = *reinterpret_cast<SharedMemory<S>*>(memory);
    let_successor_start();
    const uint32_t hurry = shared_address(&shared.predecessor_ended);
    if (threadIdx.x == 0) barrier_init(hurry, 1);
    for (int e = threadIdx.x; e < S::kTokens * S::kPitch; e += S::kThreads + 32) {
        (&shared.sums[0][0])[e] = 0;
    }
    __syncthreads();
    const StripRange range(p.strips);
    const int warp = threadIdx.x / 32;
    const bool multiplies = warp < S::kWarps;
    WeightRing<S> ring(p, range, shared_address(shared.ring[multiplies ? warp : 0]));
    FactorWords<S> words = {};
    if (multiplies) {
        ring.fill(p, hurry);
        words.request_rows(p, range.first);
        words.write(shared.factors);
    } else {
        bring_tokens(p, shared);
    }
    __syncthreads();
    for (int first = range.first; first < range.last; first += S::kStrips) {
        const int end = min(first + S::kStrips, range.last);
        if (multiplies) {
            multiply_round(p, shared, ring, first, end);
            words.request_rows(p, end);
        }
        __syncthreads();
        write_round(p, shared, first, end);
        __syncthreads();
        if (multiplies) words.write(shared.factors);
    }
}

template <class S>
void launch_shape(const StreamProblem& problem, Stream stream) {
    static_assert(shared_bytes<S>(kMostTokenBytes) <= kCtaBytes);
    const int resident = current_device().multiprocessors * kResident;
    launch("linear_few", linear_few<S>,
           {.grid = static_cast<unsigned>(min(problem.strips, resident)),
            .block = S::kThreads + 32,
            .shared_bytes = static_cast<int>(shared_bytes<S>(kMostTokenBytes))},
           stream, problem);
}

int64_t token_bytes(const LinearProduct& product) {
    return product.weight.shape.units_per_block() * 64 * product.in.rows;
}

}  // namespace

bool takes_few(const LinearProduct& product, const DeviceInfo& device) {
    return product.in.rows <= kMostFewTokens && device.shared_bytes >= kCtaBytes &&
           token_bytes(product) <= kMostTokenBytes;
}

void launch_few(std::span<const LinearProduct> products, Stream stream) {
    const StreamProblem problem = stream_problem(products);
    if (products.front().weight.shape.bits > 4) {
        launch_shape<FewShape<2, 2, 6>>(problem, stream);
    } else if (problem.units % 4 == 0) {
        launch_shape<FewShape<1, 4, 6>>(problem, stream);
    } else {
        launch_shape<FewShape<1, 2, 12>>(problem, stream);
    }
}

}  // namespace quarot::kernels::cuda
