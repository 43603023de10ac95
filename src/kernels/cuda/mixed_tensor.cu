// Quantized weights times rows of halves on tensor cores: each weight is read once for up to 32
// rows.
//
// A CTA owns a range of strips of 16 output rows and takes kStrips of them at a time; its warps
// take the units of 64 columns in turn. Each lane keeps a ring of its own copies in shared memory,
// codes and floats, and reads nothing that another lane copied. Codes lie as the operands of
// integer products (weight_layout.h); widened to halves, which is exact, four codes of a row are
// two words of operand A of m16n8k16, columns 4 t, 4 t + 2 and 4 t + 1, 4 t + 3 of its 16, and the
// floats are picked alike. The warps' sums meet in shared memory and are added in the order of the
// warps, so that a row's bits follow from the columns alone.
#include <cuda_runtime.h>

#include <algorithm>

#include "core/checked_math.h"
#include "kernels/cuda/device/async_copy.cuh"
#include "kernels/cuda/device/griddep.cuh"
#include "kernels/cuda/device/half_mma.cuh"
#include "kernels/cuda/device/mbarrier.cuh"
#include "kernels/cuda/device/memory.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/linear_epilogue.cuh"
#include "kernels/cuda/linear_stream.cuh"
#include "kernels/cuda/mixed_product.h"

namespace quarot::kernels::cuda {

namespace {

constexpr int kWarps = 8, kThreads = 32 * kWarps;
constexpr int kUnitColumns = 64;

struct TensorProblem {
    RowsView in;  // halves
    WeightView weight;
    const float* bias;  // or null
    OutputElements out;
    int units;   // of a row block
    int strips;  // of all rows
};

// kWords: 16-byte words of a lane in a strip of a unit, 1 for nibbles and 2 for bytes. kTiles: of 8
// rows of floats. kGroups: a unit has scales of its own.
template <int kWords_, int kTiles_, int kStrips_, int kStages_, bool kGroups_>
struct TensorShape {
    static constexpr int kWords = kWords_, kTiles = kTiles_, kStrips = kStrips_;
    static constexpr int kStages = kStages_;
    static constexpr bool kGroups = kGroups_;
    static constexpr int kRows = 16 * kStrips, kTokens = 8 * kTiles;
    static constexpr int kCodeBytes = 512 * kWords * kStrips;  // of a warp in a stage
    static constexpr int kStageBytes = kCodeBytes + 1024 * kTiles;
    static constexpr int kPitch = kRows + 4;  // of sums: the lanes of a warp meet in no bank
};

template <class S>
struct TensorMemory {
    uint8_t ring[kWarps][S::kStages][S::kStageBytes];
    float sums[kWarps][S::kTokens][S::kPitch];
};

template <class S>
constexpr int kResident = sizeof(TensorMemory<S>) <= 112 * 1024 ? 2 : 1;

// The units of a warp: of each group of strips in turn, every kWarps-th.
template <class S>
struct UnitCursor {
    int strip, last, unit, units;

    __device__ UnitCursor(const TensorProblem& p, int first_strip, int last_strip)
        : strip(first_strip), last(last_strip), unit(first()), units(p.units) {
        if (unit >= units) strip = last;
    }
    static __device__ int first() { return static_cast<int>(threadIdx.x) / 32; }
    __device__ bool valid() const { return strip < last; }
    __device__ void advance() {
        unit += kWarps;
        if (unit < units) return;
        unit = first();
        strip += S::kStrips;
    }
};

template <class S>
class UnitRing {
  public:
    __device__ UnitRing(const TensorProblem& p, uint32_t memory, int64_t first_token)
        : p_(p), memory_(memory), first_token_(first_token) {}

    // Strips beyond the last are not copied: what lies there is multiplied and dropped.
    __device__ __forceinline__ void copy_codes(int stage, const UnitCursor<S>& at) const {
        if (!at.valid()) return;
        const uint32_t to = memory_ + stage * S::kStageBytes + lane() * 16;
#pragma unroll
        for (int s = 0; s < S::kStrips; ++s) {
            const int strip = at.strip + s;
            if (strip >= at.last) break;
            const int64_t unit = strip / 4 * static_cast<int64_t>(p_.units) + at.unit;
            const uint8_t* from =
                p_.weight.codes + unit * (2048 * S::kWords) + strip % 4 * 512 + lane() * 16;
#pragma unroll
            for (int w = 0; w < S::kWords; ++w) {
                copy_streamed(to + (s * S::kWords + w) * 512, from + w * 2048, policy_);
            }
        }
    }
    // Columns 16 c + 4 t .. + 3 of the unit, c = 0 .. 3, of row g of each tile.
    __device__ __forceinline__ void copy_floats(int stage, const UnitCursor<S>& at) const {
        if (!at.valid()) return;
        const uint32_t to = memory_ + stage * S::kStageBytes + S::kCodeBytes + lane() * 16;
        const int first = at.unit * kUnitColumns + lane() % 4 * 4;
#pragma unroll
        for (int tile = 0; tile < S::kTiles; ++tile) {
            const int64_t token = first_token_ + 8 * tile + lane() / 4;
            const auto* row = static_cast<const uint16_t*>(p_.in.data) + token * p_.in.stride;
#pragma unroll
            for (int c = 0; c < 4; ++c) {
                const int column = first + 16 * c;
                copy_eight_bytes_or_zero(to + tile * 1024 + c / 2 * 512 + c % 2 * 8, row + column,
                                         token < p_.in.rows && column < p_.in.cols);
            }
        }
    }
    // This lane's words of a stage.
    __device__ __forceinline__ uint32_t codes(int stage) const {
        return memory_ + stage * S::kStageBytes + lane() * 16;
    }
    __device__ __forceinline__ uint32_t floats(int stage) const {
        return codes(stage) + S::kCodeBytes;
    }

  private:
    static __device__ int lane() {
        return static_cast<int>(threadIdx.x % 32);
    }

    const TensorProblem& p_;
    uint32_t memory_;
    int64_t first_token_;
    uint64_t policy_ = streamed_policy();
};

// Two bytes of a word as halves less `bias`, which is 1024 + the code that stands for 0. Exact.
__device__ __forceinline__ uint32_t widen(uint32_t word, uint32_t bytes, __half2 bias) {
    const uint32_t raised = __byte_perm(word, 0x64646464u, bytes);
    const __half2 value = __hsub2(*reinterpret_cast<const __half2*>(&raised), bias);
    return *reinterpret_cast<const uint32_t*>(&value);
}
constexpr uint32_t kEvenBytes = 0x4240u, kOddBytes = 0x4341u;

template <class S>
using TensorSums = float[S::kStrips][S::kTiles][4];

// sums += a unit's codes, less the bias, times its floats.
template <class S>
__device__ __forceinline__ void multiply_unit(TensorSums<S>& sums, uint32_t codes, uint32_t floats,
                                              __half2 bias) {
    uint32_t b[S::kTiles][4][2];
#pragma unroll
    for (int tile = 0; tile < S::kTiles; ++tile) {
#pragma unroll
        for (int pair = 0; pair < 2; ++pair) {
            const uint4 x = load_shared(floats + tile * 1024 + pair * 512);
            b[tile][2 * pair][0] = __byte_perm(x.x, x.y, 0x5410u);
            b[tile][2 * pair][1] = __byte_perm(x.x, x.y, 0x7632u);
            b[tile][2 * pair + 1][0] = __byte_perm(x.z, x.w, 0x5410u);
            b[tile][2 * pair + 1][1] = __byte_perm(x.z, x.w, 0x7632u);
        }
    }
#pragma unroll
    for (int s = 0; s < S::kStrips; ++s) {
        uint32_t words[2][4];
        load_strip<S::kWords>(words, codes + s * S::kWords * 512);
#pragma unroll
        for (int c = 0; c < 4; ++c) {
            const uint32_t upper = words[c / 2][c % 2 * 2], lower = words[c / 2][c % 2 * 2 + 1];
            const uint32_t a[4] = {widen(upper, kEvenBytes, bias), widen(lower, kEvenBytes, bias),
                                   widen(upper, kOddBytes, bias), widen(lower, kOddBytes, bias)};
#pragma unroll
            for (int tile = 0; tile < S::kTiles; ++tile) {
                add_tile(sums[s][tile], a, b[tile][c][0], b[tile][c][1]);
            }
        }
    }
}

// The same for weights whose groups end between units.
template <class S>
__device__ __forceinline__ void add_group(const TensorProblem& p, TensorSums<S>& sums, int strip,
                                          int unit, uint32_t codes, uint32_t floats, __half2 bias) {
    if (unit * kUnitColumns >= p.in.cols) return;  // padding alone, which has no group
    TensorSums<S> part = {};
    multiply_unit<S>(part, codes, floats, bias);
    const WeightShape& shape = p.weight.shape;
    const int64_t group = unit * kUnitColumns / shape.group_size;
#pragma unroll
    for (int s = 0; s < S::kStrips; ++s) {
        if (strip + s >= p.strips) break;
        const int64_t row = 16 * (strip + s) + threadIdx.x % 32 / 4;
        const float* scales = p.weight.scales + shape.group_index(row, group);
        const float upper = __ldg(scales), lower = __ldg(scales + 8);
#pragma unroll
        for (int tile = 0; tile < S::kTiles; ++tile) {
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                float& sum = sums[s][tile][i];
                sum = __fmaf_rn(i < 2 ? upper : lower, part[s][tile][i], sum);
            }
        }
    }
}

// Hands this warp's sums over and clears them.
template <class S>
__device__ __forceinline__ void store_sums(TensorMemory<S>& shared, TensorSums<S>& sums) {
    const int lane = threadIdx.x % 32;
    auto& to = shared.sums[threadIdx.x / 32];
#pragma unroll
    for (int s = 0; s < S::kStrips; ++s) {
#pragma unroll
        for (int tile = 0; tile < S::kTiles; ++tile) {
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                to[8 * tile + lane % 4 * 2 + i % 2][16 * s + lane / 4 + i / 2 * 8] =
                    sums[s][tile][i];
                sums[s][tile][i] = 0.0f;
            }
        }
    }
}

// Adds the warps' sums and writes the outputs of strips first .. end - 1.
template <class S>
__device__ __forceinline__ void write_outputs(const TensorProblem& p, const TensorMemory<S>& shared,
                                              int first, int end, int64_t first_token) {
    const auto tokens = static_cast<int>(min(int64_t{S::kTokens}, p.in.rows - first_token));
    const int rows = 16 * (end - first);
    for (int e = threadIdx.x; e < tokens * rows; e += kThreads) {
        const int token = e / rows, row = e % rows;
        const int64_t out = int64_t{16} * first + row;
        if (out >= p.weight.shape.rows) continue;
        float sum = 0.0f;
#pragma unroll
        for (int warp = 0; warp < kWarps; ++warp) sum += shared.sums[warp][token][row];
        if (!S::kGroups) sum = __fmul_rn(sum, p.weight.scales[out]);
        const float bias = p.bias == nullptr ? 0.0f : p.bias[out];
        p.out.store(first_token + token, out, __fadd_rn(sum, bias));
    }
}

template <class S>
__global__ void __launch_bounds__(kThreads, kResident<S>)
    mixed_tensor(const __grid_constant__ TensorProblem p) {
    extern __shared__ __align__(128) uint8_t memory[];
    TensorMemory<S>& shared = *reinterpret_cast<TensorMemory<S>*>(memory);
    let_successor_start();
    const int64_t first_token = int64_t{blockIdx.y} * S::kTokens;
    const StripRange range(p.strips);
    const UnitRing<S> ring(p, shared_address(shared.ring[threadIdx.x / 32]), first_token);
    UnitCursor<S> ahead(p, range.first, range.last), floats_ahead = ahead;
#pragma unroll
    for (int stage = 0; stage < S::kStages; ++stage) {
        ring.copy_codes(stage, ahead);
        ahead.advance();
    }
    wait_for_predecessor();
#pragma unroll
    for (int stage = 0; stage < S::kStages; ++stage) {
        ring.copy_floats(stage, floats_ahead);
        floats_ahead.advance();
        end_copy_group();
    }
    const __half2 bias =
        __float2half2_rn(1024.0f + static_cast<float>(1 << (p.weight.shape.bits - 1)));
    TensorSums<S> sums = {};
    int stage = 0;
    for (int strip = range.first; strip < range.last; strip += S::kStrips) {
        for (int unit = UnitCursor<S>::first(); unit < p.units; unit += kWarps) {
            wait_for_copies<S::kStages - 1>();
            if constexpr (S::kGroups) {
                add_group<S>(p, sums, strip, unit, ring.codes(stage), ring.floats(stage), bias);
            } else {
                multiply_unit<S>(sums, ring.codes(stage), ring.floats(stage), bias);
            }
            ring.copy_codes(stage, ahead);
            ring.copy_floats(stage, ahead);
            end_copy_group();
            ahead.advance();
            if (++stage == S::kStages) stage = 0;
        }
        store_sums<S>(shared, sums);
        __syncthreads();
        write_outputs<S>(p, shared, strip, min(strip + S::kStrips, range.last), first_token);
        __syncthreads();
    }
}

template <class S>
bool fits() {
    return current_device().shared_bytes >= static_cast<int64_t>(sizeof(TensorMemory<S>));
}

template <class S>
void launch_shape(const TensorProblem& problem, Stream stream) {
    const auto passes = static_cast<unsigned>(ceil_div(problem.in.rows, int64_t{S::kTokens}));
    const int64_t groups = ceil_div(problem.strips, S::kStrips);
    const int64_t resident = int64_t{current_device().multiprocessors} * kResident<S>;
    launch("mixed_tensor", mixed_tensor<S>,
           {.grid = dim3(static_cast<unsigned>(std::min(groups, resident)), passes),
            .block = kThreads,
            .shared_bytes = sizeof(TensorMemory<S>)},
           stream, problem);
}

// The device decides whether any rows are taken, their number only by which shape: both give the
// same bits.
template <class Few, class Many>
bool launch_fitting(const TensorProblem& problem, Stream stream) {
    if (!fits<Few>()) return false;
    if (problem.in.rows > Few::kTokens && fits<Many>()) {
        launch_shape<Many>(problem, stream);
    } else {
        launch_shape<Few>(problem, stream);
    }
    return true;
}

template <bool kGroups>
bool launch_width(const TensorProblem& problem, Stream stream) {
    if (problem.weight.shape.bits > 4) {
        return launch_fitting<TensorShape<2, 1, 2, 4, kGroups>, TensorShape<2, 4, 2, 3, kGroups>>(
            problem, stream);
    }
    return launch_fitting<TensorShape<1, 1, 4, 3, kGroups>, TensorShape<1, 4, 4, 3, kGroups>>(
        problem, stream);
}

// Rows of halves that can be copied four at a time, and weights whose zero is one for all.
bool takes_tensor(const RowsView& in, const WeightView& weight) {
    return in.dtype == DType::F16 && weight.shape.symmetric && in.cols % 4 == 0 && in_fours(in);
}

}  // namespace

bool multiply_mixed_tensor(const RowsView& in, const WeightView& weight,
                           const FloatProduct& product, Stream stream) {
    if (!takes_tensor(in, weight)) return false;
    const TensorProblem problem = {
        in,
        weight,
        product.bias,
        OutputElements{product.out.data, product.out.stride, product.out.dtype, product.accumulate},
        static_cast<int>(weight.shape.units_per_block()),
        static_cast<int>((weight.shape.rows + 15) / 16)};
    if (weight.shape.n_groups() > 1) return launch_width<true>(problem, stream);
    return launch_width<false>(problem, stream);
}

}  // namespace quarot::kernels::cuda
