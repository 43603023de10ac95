// One block transforms one row, a matrix [K, 2^m] of halves, and quantizes it while it is on chip;
// where rows are few, a cluster of blocks shares one.
//
// Phase 1. A warp takes 256 neighbouring values (kQuarters of them where m > 8), 8 a lane, as
// operand B of m16n8k16: the product moves the four index bits it contracts from pair, register and
// lane bits 0, 1 to row bits, and the result is operand B of a second product over the other four.
// So two products transform eight bits and no value changes lanes in between:
//
//   index bit of a value in its 256     0        1    2     3    4      5     6     7
//   where it is on load               pair      reg  reg'  t1   t0     g0    g1    g2
//   after the first product            g0       g1   reg'  g2   reg   pair   t0    t1
//   after the second                  pair      t0    g0   t1   reg'   reg   g1    g2
//
// (lane = 4 g + t.) Rows of the constant matrices are permuted accordingly (rotation.cpp). Bits 8
// and 9 follow as fp32 additions. Results go to shared memory as halves, row by row of the matrix,
// 16-byte chunks XORed with the row so that ldmatrix meets no bank twice.
//
// Phase 2. Every warp multiplies the K x K sign matrix, whose tiles it expands from bits, with 64
// columns. A lane ends with 16 neighbouring columns of each of its rows: 16 bytes of codes.
//
// In a cluster, phase 1 writes each chunk to the block whose warps mix its columns, and the
// largest sum and the sum of codes pass through distributed shared memory. Every warp does what it
// does in a block alone, so the bits are the same.
//
// A row whose halves overflow, or lose too much at the bottom, is done once more with the power of
// two in the first matrix that brings its largest input to 64.
#include <algorithm>
#include <utility>

#include "core/checked_math.h"
#include "kernels/cuda/activation.cuh"
#include "kernels/cuda/block_reduce.cuh"
#include "kernels/cuda/device/cluster.cuh"
#include "kernels/cuda/device/griddep.cuh"
#include "kernels/cuda/device/half_mma.cuh"
#include "kernels/cuda/device/mbarrier.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/rotate_tensor.h"
#include "kernels/cuda/row_blocks.h"
#include "kernels/cuda/row_quantizer.cuh"

namespace quarot::kernels::cuda {

// What a kernel is compiled for. kRowSteps: steps of 16 rows of the sign matrix, 0: known at run
// time only. kInFlight: runs of 256 * kQuarters values a warp loads at once.
template <int kQuartersOf, int kWarpTilesOf, int kRowStepsOf, bool kPackedOf, int kMaxThreadsOf,
          int kMinBlocksOf, int kInFlightOf>
struct TensorShape {
    static constexpr int kQuarters = kQuartersOf, kWarpTiles = kWarpTilesOf;
    static constexpr int kRowSteps = kRowStepsOf;
    static constexpr bool kPacked = kPackedOf;
    static constexpr int kMaxThreads = kMaxThreadsOf, kMinBlocks = kMinBlocksOf;
    static constexpr int kInFlight = kInFlightOf;
    static constexpr int kBlocks = 1;   // of a row
    static constexpr int kSharers = 1;  // of them that work together
};
// The same with eight blocks a row, which have 32 warps together: one for each run, at most. A warp
// mixes all rows of its columns.
template <class S>
struct InCluster : S {
    static constexpr int kMaxThreads = 128, kMinBlocks = 1;
    static constexpr int kBlocks = 8, kSharers = kBlocks;
};
// The first of a row's blocks does all of it.
template <class S>
struct FirstAlone : S {
    static constexpr int kSharers = 1;
};

namespace {

constexpr int kChunkPairs = 4;       // ldmatrix loads of a warp's 64 columns in a step of 16 rows
constexpr int kColumnTiles = 8;      // tiles of 8 columns a warp owns
constexpr int kScratchBytes = 1024;  // static shared memory, and what the system reserves

struct TensorArguments {
    const void* in = nullptr;  // [rows, in_stride], 16-byte aligned
    const void* up = nullptr;
    int64_t in_stride = 0, up_stride = 0;
    const uint4* tiles = nullptr;
    const uint32_t* signs = nullptr;
    int rows = 0, column_bits = 0, row_steps = 0;
    float factor = 0.0f;
    float smallest = 0.0f;   // a largest sum below this means that halves lost too much
    float most_code = 0.0f;  // 2^(bits-1) - 1
    void* out = nullptr;     // not null: rows instead of codes; dtype of the input
    int64_t out_stride = 0;
    QuantizeTarget target;
};

// ---------------------------------------------------------------- 16-bit inputs

// 16 bytes that nobody reads again; zeros, and no access, unless `inside`.
__device__ __forceinline__ uint4 load_once(const void* address, bool inside) {
    uint4 v;
    asm volatile(
        "{\n.reg .pred p;\nsetp.ne.b32 p, %5, 0;\n"
        "mov.b32 %0, 0;\nmov.b32 %1, 0;\nmov.b32 %2, 0;\nmov.b32 %3, 0;\n"
        "@p ld.global.L1::no_allocate.v4.u32 {%0,%1,%2,%3}, [%4];\n}"
        : "=&r"(v.x), "=&r"(v.y), "=&r"(v.z), "=&r"(v.w)
        : "l"(address), "r"(static_cast<int>(inside))
        : "memory");
    return v;
}

template <typename T>
struct Pair;
template <>
struct Pair<__half> {
    static __device__ __forceinline__ float2 widen(uint32_t pair) { return unpack_halves(pair); }
    static __device__ __forceinline__ uint32_t narrow(float low, float high) {
        return pack_halves(low, high);
    }
};
template <>
struct Pair<__nv_bfloat16> {
    static __device__ __forceinline__ float2 widen(uint32_t pair) {
        return {__uint_as_float(pair << 16), __uint_as_float(pair & 0xffff0000u)};
    }
    static __device__ __forceinline__ uint32_t narrow(float low, float high) {
        const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
        return *reinterpret_cast<const uint32_t*>(&pair);
    }
};

// Of the magnitudes of four numbers of 16 bits, as bits.
__device__ __forceinline__ uint32_t largest_of(uint32_t a, uint32_t b) {
    const uint32_t low = max(a & 0x7fffu, b & 0x7fffu);
    return max(low, max(a >> 16 & 0x7fffu, b >> 16 & 0x7fffu));
}

template <typename T>
__device__ __forceinline__ uint32_t silu_pair(uint32_t gate, uint32_t up) {
    const float2 g = Pair<T>::widen(gate), u = Pair<T>::widen(up);
    return Pair<T>::narrow(fast_silu_times(g.x, u.x), fast_silu_times(g.y, u.y));
}

// Multiplies a tile of T by 2^exponent.
template <typename T>
__device__ __forceinline__ void scale_tile(uint32_t (&tile)[4], int exponent) {
    const float factor = exp2f(static_cast<float>(exponent));
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        const float2 wide = Pair<T>::widen(tile[i]);
        tile[i] = Pair<T>::narrow(wide.x * factor, wide.y * factor);
    }
}

// The two constant matrices as operands A, with 2^exponent in them.
template <typename T>
struct ConstantTiles {
    uint32_t first[4], second[4];

    __device__ __forceinline__ ConstantTiles(const uint4* tiles, int lane, int exponent) {
        const uint4 one = __ldg(tiles + (std::is_same_v<T, __half> ? 0 : 32) + lane);
        const uint4 two = __ldg(tiles + 64 + lane);
        first[0] = one.x, first[1] = one.y, first[2] = one.z, first[3] = one.w;
        second[0] = two.x, second[1] = two.y, second[2] = two.z, second[3] = two.w;
        if (exponent == 0) return;
        constexpr int kMostOfHalves = 15;
        const int in_first = std::is_same_v<T, __half> ? min(exponent, kMostOfHalves) : exponent;
        scale_tile<T>(first, in_first);
        scale_tile<__half>(second, exponent - in_first);
    }
};

// ---------------------------------------------------------------- the row in a block

constexpr uint32_t kOne = 0x3C003C00u;        // pairs of halves
constexpr uint32_t kPackedOne = 0x34003400u;  // kPackedMagnitude

// A lane's part of a tile of the sign matrix, from the signs of step `step` of a word's four.
__device__ __forceinline__ void expand_signs(uint32_t signs, int step, uint32_t one,
                                             uint32_t (&out)[4]) {
#pragma unroll
    for (int word = 0; word < 4; ++word) {
        out[word] = (signs << (15 - 4 * step - word) & 0x80008000u) ^ one;
    }
}

// What a warp needs of the sign matrix: bit 4 * step + q + 16 * p of a word is the sign of element
// p of word q of a fragment.
template <class S>
struct SignWords {
    static constexpr int kWords = S::kRowSteps > 0 ? (S::kRowSteps + 3) / 4 : 3;
    uint32_t words[S::kWarpTiles][kWords];
};

template <typename T, bool kGated, class S>
struct RowKernel {
    static constexpr int kQ = S::kQuarters;
    using Constants = ConstantTiles<T>;

    const TensorArguments& a;
    char* rows;  // shared: [rows + 1][2^m] halves, the last row zeros
    int lane, warp, t, g;

    // Each phase makes an object of its own: `thread` is hidden from the compiler, which so keeps
    // no addresses in registers from one phase to the next.
    __device__ explicit RowKernel(const TensorArguments& arguments) : a(arguments) {
        extern __shared__ __align__(128) char shared[];
        rows = shared;
        int thread = static_cast<int>(threadIdx.x);
        asm volatile("" : "+r"(thread));
        lane = thread & 31, warp = thread >> 5;
        t = lane & 3, g = lane >> 2;
    }

    // What the shape of the kernel already says is known to the compiler.
    __device__ int column_bits() const { return kQ == 1 ? a.column_bits : kQ == 2 ? 9 : 10; }
    __device__ int row_steps() const { return S::kRowSteps > 0 ? S::kRowSteps : a.row_steps; }
    __device__ int warps_along_rows() const {
        return (row_steps() + S::kWarpTiles - 1) / S::kWarpTiles;
    }
    // Of the row in phase 1, and this one's number among them.
    __device__ int n_warps() const {
        if constexpr (S::kBlocks == 1) return n_mixers();
        return static_cast<int>(blockDim.x / 32) * S::kSharers;
    }
    __device__ int runner() const { return block() * static_cast<int>(blockDim.x / 32) + warp; }
    // Of the row in phase 2; the first of each block take part.
    __device__ int n_mixers() const { return warps_along_rows() << (column_bits() - 6); }
    __device__ int mixers_of_block() const { return n_mixers() / S::kSharers; }
    __device__ int mixer() const { return block() * mixers_of_block() + warp; }
    __device__ bool mixes() const { return S::kSharers == 1 || warp < mixers_of_block(); }
    // This block's number among those that share the row.
    __device__ static int block() {
        return S::kSharers == 1 ? 0 : static_cast<int>(cluster_rank());
    }
    __device__ static unsigned row() { return blockIdx.x / S::kBlocks; }

    __device__ void clear_last_row() const {
        const int row_bytes = 2 << column_bits();
        for (int i = 16 * threadIdx.x; i < row_bytes; i += 16 * blockDim.x) {
            *reinterpret_cast<uint4*>(rows + a.rows * row_bytes + i) = make_uint4(0, 0, 0, 0);
        }
    }

    __device__ int n_runs() const { return (a.rows << column_bits()) / (256 * kQ); }

    // 8 values of quarter q of a run, and of `up` beside them.
    struct Loaded {
        uint4 rows, up;
        __device__ uint4 value() const {
            if constexpr (!kGated) return rows;
            return {silu_pair<T>(rows.x, up.x), silu_pair<T>(rows.y, up.y),
                    silu_pair<T>(rows.z, up.z), silu_pair<T>(rows.w, up.w)};
        }
    };
    __device__ Loaded load(int run, int q, bool inside) const {
        // The lane's chunk of 8, bits 3..7 of the index: t1, t0, g.
        const int chunk = (lane >> 1 & 1) | (lane & 1) << 1 | (lane & 28);
        const int64_t column = (run * kQ + q) * 256 + chunk * 8;
        Loaded loaded;
        loaded.rows = load_once(static_cast<const T*>(a.in) + row() * a.in_stride + column, inside);
        if constexpr (kGated) {
            loaded.up =
                load_once(static_cast<const T*>(a.up) + row() * a.up_stride + column, inside);
        }
        return loaded;
    }

    // The first product of 256 values: operands of the second, two for each half of its results.
    __device__ static uint4 first_product(const uint4& v, const Constants& constants) {
        float low[4], high[4];
        multiply_tile<T>(low, constants.first, v.x, v.y);
        multiply_tile<T>(high, constants.first, v.z, v.w);
        return {pack_halves(low[0], low[1]), pack_halves(high[0], high[1]),
                pack_halves(low[2], low[3]), pack_halves(high[2], high[3])};
    }

    // Index bits 8 and 9: sums and differences over the quarters.
    __device__ static void add_quarters(float (&sums)[kQ][4]) {
#pragma unroll
        for (int half = 1; half < kQ; half *= 2) {
#pragma unroll
            for (int q = 0; q < kQ; ++q) {
                if ((q & half) != 0) continue;
#pragma unroll
                for (int j = 0; j < 4; ++j) {
                    const float x = sums[q][j], y = sums[q + half][j];
                    sums[q][j] = x + y;
                    sums[q + half][j] = x - y;
                }
            }
        }
    }

    __device__ void store_chunk(int run, int q, const uint4& halves) const {
        // Which of the 32 chunks of 8 columns the lane holds: t0, g0, t1, g1, g2.
        const int chunk = (t & 1) | (g & 1) << 1 | (t >> 1) << 2 | (g >> 1) << 3;
        const int bits = min(column_bits(), 8) - 3;  // of a chunk's number in its row
        const int row = kQ > 1 ? run : run << (5 - bits) | chunk >> bits;
        const int column = kQ > 1 ? chunk + 32 * q : chunk & ((1 << bits) - 1);
        char* to = rows + (row * 2 << column_bits()) + ((column ^ (row & 7)) << 4);
        if constexpr (S::kSharers == 1) {
            *reinterpret_cast<uint4*>(to) = halves;
        } else {
            store_remote(shared_address(to), column / 8 / mixers_of_block(), halves);
        }
    }

    // The rest of phase 1 for a run. Half of the second product's results at a time, which halves
    // the registers for them.
    __device__ void finish_run(int run, uint4 (&halves)[kQ], const Constants& constants) const {
        float sums[kQ][4];
#pragma unroll
        for (int q = 0; q < kQ; ++q) {
            multiply_tile<__half>(sums[q], constants.second, halves[q].x, halves[q].y);
        }
        add_quarters(sums);
#pragma unroll
        for (int q = 0; q < kQ; ++q) {
            halves[q].x = pack_halves(sums[q][0], sums[q][1]);
            halves[q].y = pack_halves(sums[q][2], sums[q][3]);
        }
#pragma unroll
        for (int q = 0; q < kQ; ++q) {
            multiply_tile<__half>(sums[q], constants.second, halves[q].z, halves[q].w);
        }
        add_quarters(sums);
#pragma unroll
        for (int q = 0; q < kQ; ++q) {
            store_chunk(run, q,
                        {halves[q].x, pack_halves(sums[q][0], sums[q][1]), halves[q].y,
                         pack_halves(sums[q][2], sums[q][3])});
        }
    }

    // Phase 1: all loads of a round first. Not `real`: of zeros.
    __device__ void transform_columns(const Constants& constants, bool real) const {
        const int n = n_runs(), step = n_warps();
#pragma unroll 1
        for (int run = runner(); run < n; run += step * S::kInFlight) {
            const RowKernel fresh(a);  // keeps no addresses from one round to the next
            Loaded loaded[S::kInFlight][kQ];
#pragma unroll
            for (int i = 0; i < S::kInFlight; ++i) {
#pragma unroll
                for (int q = 0; q < kQ; ++q) {
                    loaded[i][q] = fresh.load(run + i * step, q, real && run + i * step < n);
                }
            }
#pragma unroll
            for (int i = 0; i < S::kInFlight; ++i) {
                if (run + i * step >= n) break;
                uint4 halves[kQ];
#pragma unroll
                for (int q = 0; q < kQ; ++q) {
                    halves[q] = first_product(loaded[i][q].value(), constants);
                }
                fresh.finish_run(run + i * step, halves, constants);
            }
        }
    }

    // The same with one load at a time, for few registers.
    __device__ void transform_columns_slowly(const Constants& constants) const {
#pragma unroll 1
        for (int run = runner(); run < n_runs(); run += n_warps()) {
            const RowKernel fresh(a);
            uint4 halves[kQ];
#pragma unroll
            for (int q = 0; q < kQ; ++q) {
                halves[q] = first_product(fresh.load(run, q, true).value(), constants);
            }
            fresh.finish_run(run, halves, constants);
        }
    }

    // The thread's largest |value| of the input, as the bits of a 16-bit number.
    __device__ uint32_t largest_input_bits() const {
        uint32_t largest = 0;
#pragma unroll 1
        for (int i = runner(); i < n_runs() * kQ; i += n_warps()) {
            const uint4 v = load(i / kQ, i % kQ, true).value();
            largest = max(max(largest, largest_of(v.x, v.y)), largest_of(v.z, v.w));
        }
        return largest;
    }

    // -------- phase 2

    __device__ int column_group() const {
        return mixer() / warps_along_rows();
    }
    __device__ int first_tile() const {
        return mixer() % warps_along_rows() * S::kWarpTiles;
    }
    __device__ int row_of(int tile, int upper) const {
        return (first_tile() + tile) * 16 + upper * 8 + g;
    }

    // The warp's signs, four steps a word. Rows past the matrix get sums of no meaning.
    __device__ void load_signs(SignWords<S>& signs) const {
        const int n_words = (row_steps() + 3) / 4;
#pragma unroll
        for (int tile = 0; tile < S::kWarpTiles; ++tile) {
#pragma unroll
            for (int word = 0; word < SignWords<S>::kWords; ++word) {
                const int at = (first_tile() + tile) * n_words + min(word, n_words - 1);
                signs.words[tile][word] = __ldg(a.signs + at * 32 + lane);
            }
        }
    }

    // Shared address of the lane's row in step `step`, for ldmatrix; zeros past the matrix.
    __device__ uint32_t row_address(int step) const {
        const int row = min(step * 16 + (lane & 15), a.rows);
        return static_cast<uint32_t>(__cvta_generic_to_shared(rows)) + (row * 2 << column_bits());
    }
    __device__ uint32_t chunk_offset(int pair) const {
        const int column = column_group() * 8 + (lane >> 4);
        return (column ^ (lane & 7)) << 4 ^ pair << 5;
    }
};

__device__ __forceinline__ float max_or_nan(float a, float b) {
    float most;
    asm("max.NaN.f32 %0, %1, %2;" : "=f"(most) : "f"(a), "f"(b));
    return most;
}

// Results of a warp: 16 columns of two rows of each tile in every lane.
template <class S, bool kPacked = S::kPacked>
struct Results;

// As the fp32 sums themselves.
template <class S>
struct Results<S, false> {
    static constexpr int kTiles = S::kWarpTiles;
    static constexpr int kUnrolled = S::kRowSteps == 0 ? 1 : 4;
    float sums[S::kWarpTiles][kColumnTiles][4];

    template <class Kernel>
    __device__ __forceinline__ void mix(const Kernel& kernel, const SignWords<S>& signs) {
        if constexpr (S::kRowSteps == 0) clear();
#pragma unroll
        for (int word = 0; word < SignWords<S>::kWords; ++word) {
            const int n_steps = min(kernel.row_steps() - 4 * word, 4);
#pragma unroll kUnrolled
            for (int step = 0; step < n_steps; ++step) {
                add_step(kernel, signs, word, step, S::kRowSteps > 0 && word == 0 && step == 0);
            }
        }
    }

    // A step of 16 rows of the matrix in shared memory.
    template <class Kernel>
    __device__ __forceinline__ void add_step(const Kernel& kernel, const SignWords<S>& signs,
                                             int word, int step, bool first) {
        const uint32_t address = kernel.row_address(4 * word + step);
        uint32_t tiles[kTiles][4];
#pragma unroll
        for (int tile = 0; tile < kTiles; ++tile) {
            expand_signs(signs.words[tile][word], step, kOne, tiles[tile]);
        }
#pragma unroll
        for (int pair = 0; pair < kChunkPairs; ++pair) {
            uint32_t b[4];
            load_tiles_transposed(b, address + kernel.chunk_offset(pair));
#pragma unroll
            for (int tile = 0; tile < kTiles; ++tile) {
                add_pair(sums[tile], pair, tiles[tile], b, first);
            }
        }
    }

    // Two tiles of 8 columns; the first product needs no cleared sums.
    __device__ __forceinline__ static void add_pair(float (&sums)[kColumnTiles][4], int pair,
                                                    const uint32_t (&signs)[4],
                                                    const uint32_t (&b)[4], bool first) {
#pragma unroll
        for (int c = 0; c < 2; ++c) {
            if (first) {
                multiply_tile<__half>(sums[2 * pair + c], signs, b[2 * c], b[2 * c + 1]);
            } else {
                add_tile(sums[2 * pair + c], signs, b[2 * c], b[2 * c + 1]);
            }
        }
    }

    __device__ __forceinline__ void clear() {
#pragma unroll
        for (int tile = 0; tile < S::kWarpTiles; ++tile) {
#pragma unroll
            for (int c = 0; c < kColumnTiles; ++c) {
#pragma unroll
                for (int j = 0; j < 4; ++j) sums[tile][c][j] = 0.0f;
            }
        }
    }

    template <class Kernel>
    __device__ __forceinline__ float largest(const Kernel& kernel) const {
        float largest = 0.0f;
#pragma unroll
        for (int tile = 0; tile < kTiles; ++tile) {
#pragma unroll
            for (int upper = 0; upper < 2; ++upper) {
                if (kernel.row_of(tile, upper) >= kernel.a.rows) continue;
#pragma unroll
                for (int c = 0; c < kColumnTiles; ++c) {
                    largest = max_or_nan(largest, fabsf(sums[tile][c][2 * upper]));
                    largest = max_or_nan(largest, fabsf(sums[tile][c][2 * upper + 1]));
                }
            }
        }
        return largest;
    }

    __device__ __forceinline__ float2 pair(int tile, int upper, int c) const {
        return {sums[tile][c][2 * upper], sums[tile][c][2 * upper + 1]};
    }
};

// As halves of them, half the registers for one more rounding; 32 rows at most.
template <class S>
struct Results<S, true> {
    static constexpr int kTiles = S::kWarpTiles;
    uint32_t halves[S::kWarpTiles][kColumnTiles][2];

    template <class Kernel>
    __device__ __forceinline__ void mix(const Kernel& kernel, const SignWords<S>& signs) {
#pragma unroll
        for (int tile = 0; tile < S::kWarpTiles; ++tile) {
            uint32_t tiles[S::kRowSteps][4];
#pragma unroll
            for (int step = 0; step < S::kRowSteps; ++step) {
                expand_signs(signs.words[tile][0], step, kPackedOne, tiles[step]);
            }
#pragma unroll
            for (int pair = 0; pair < kChunkPairs; ++pair) mix_pair(kernel, tile, pair, tiles);
        }
    }

    template <class Kernel>
    __device__ __forceinline__ void mix_pair(const Kernel& kernel, int tile, int pair,
                                             const uint32_t (&signs)[S::kRowSteps][4]) {
        float sums[2][4];
#pragma unroll
        for (int step = 0; step < S::kRowSteps; ++step) {
            uint32_t b[4];
            load_tiles_transposed(b, kernel.row_address(step) + kernel.chunk_offset(pair));
#pragma unroll
            for (int c = 0; c < 2; ++c) {
                if (step == 0) {
                    multiply_tile<__half>(sums[c], signs[step], b[2 * c], b[2 * c + 1]);
                } else {
                    add_tile(sums[c], signs[step], b[2 * c], b[2 * c + 1]);
                }
            }
        }
#pragma unroll
        for (int c = 0; c < 2; ++c) {
#pragma unroll
            for (int upper = 0; upper < 2; ++upper) {
                halves[tile][2 * pair + c][upper] =
                    pack_halves(sums[c][2 * upper], sums[c][2 * upper + 1]);
            }
        }
    }

    template <class Kernel>
    __device__ __forceinline__ float largest(const Kernel& kernel) const {
        __half2 largest = __floats2half2_rn(0.0f, 0.0f);
#pragma unroll
        for (int tile = 0; tile < kTiles; ++tile) {
#pragma unroll
            for (int upper = 0; upper < 2; ++upper) {
                if (kernel.row_of(tile, upper) >= kernel.a.rows) continue;
#pragma unroll
                for (int c = 0; c < kColumnTiles; ++c) {
                    const auto* pair = reinterpret_cast<const __half2*>(&halves[tile][c][upper]);
                    largest = __hmax2_nan(largest, __habs2(*pair));
                }
            }
        }
        return max_or_nan(__low2float(largest), __high2float(largest));
    }

    // Hidden, or the compiler widens all halves where the ways to write them part, and spills.
    __device__ __forceinline__ float2 pair(int tile, int upper, int c) const {
        uint32_t packed = halves[tile][c][upper];
        asm volatile("" : "+r"(packed));
        return unpack_halves(packed);
    }
};

// ---------------------------------------------------------------- over the block

// Of the warps that share a row.
struct RowScratch {
    uint32_t largest[32];
    int32_t sums[32];
};

// The greatest of all threads' numbers. A barrier must lie between two calls.
__device__ __forceinline__ uint32_t block_max(uint32_t value, uint32_t (&scratch)[32]) {
    const int lane = threadIdx.x & 31, n_warps = blockDim.x / 32;
    value = __reduce_max_sync(kAllLanes, value);
    if (lane == 0) scratch[threadIdx.x >> 5] = value;
    __syncthreads();
    return __reduce_max_sync(kAllLanes, lane < n_warps ? scratch[lane] : 0u);
}

// Everybody who shares the row.
template <class S>
__device__ __forceinline__ void meet() {
    if constexpr (S::kSharers == 1) {
        __syncthreads();
    } else {
        cluster_sync();
    }
}

// The same over all who share the row; `runner`: the calling warp among them.
template <class S>
__device__ __forceinline__ uint32_t row_max(uint32_t value, int runner, uint32_t (&scratch)[32]) {
    if constexpr (S::kSharers == 1) return block_max(value, scratch);
    const int lane = threadIdx.x & 31;
    value = __reduce_max_sync(kAllLanes, value);
    if (lane < S::kSharers) store_remote(shared_address(scratch + runner), lane, value);
    cluster_sync();
    return __reduce_max_sync(kAllLanes, scratch[lane]);
}

// ---------------------------------------------------------------- results

// Halves overflowed on the way to this largest sum, or were so small that they lost digits.
__device__ __forceinline__ bool lost(float largest, float smallest) {
    return !(largest < INFINITY) || largest < smallest;
}

// Brings the row's largest input to 64..128. Zero and what is not finite stay as they are.
__device__ __forceinline__ int exponent_for(float largest_input) {
    constexpr int kTarget = 6, kMost = 120;
    if (largest_input == 0.0f || !isfinite(largest_input)) return 0;
    return min(kTarget + 127 - (__float_as_int(largest_input) >> 23), kMost);
}

// factor / 2^exponent, in two steps: the power alone may leave the range.
__device__ __forceinline__ float divide_by_power(float factor, int exponent) {
    const int half = exponent / 2;
    return factor * exp2f(static_cast<float>(-half)) * exp2f(static_cast<float>(half - exponent));
}

// From sums to stored codes by one fused multiply-add that saturates and one that rounds.
struct FastCodes {
    float scale, slope, start, steps;

    __device__ FastCodes(float max_abs, float factor, const TensorArguments& a)
        : scale(1.0f), steps(2.0f * a.most_code + 1.0f) {
        if (max_abs > 0.0f) {
            scale = at_least_smallest_normal(__fdiv_rn(max_abs * a.target.clip, a.most_code));
        }
        const float per_step = __fdividef(1.0f, steps);
        slope = factor * per_step * __frcp_rn(scale);
        start = (a.most_code + 1.0f) * per_step;
    }
    __device__ __forceinline__ uint32_t operator()(float sum) const {
        constexpr float kRounding = 12582912.0f;  // 1.5 * 2^23: the code is the low byte
        return __float_as_uint(fmaf(__saturatef(fmaf(sum, slope, start)), steps, kRounding));
    }
};

// 16 codes of the block's row, from a column that is a multiple of 16.
__device__ __forceinline__ void store_codes(const ActivationView& out, unsigned row, int64_t column,
                                            const uint32_t (&codes)[4]) {
    if (!is_streamed(out.rows)) {
        *reinterpret_cast<uint4*>(out.codes + row * out.stride + column) =
            make_uint4(codes[0], codes[1], codes[2], codes[3]);
        return;
    }
#pragma unroll
    for (int word = 0; word < 4; ++word) {
        const int64_t at = code_offset(out.rows, out.stride, row, column + 4 * word);
        *reinterpret_cast<uint32_t*>(out.codes + at) = codes[word];
    }
}

// The sum of the lane's stored codes.
template <class Kernel, class R>
__device__ __forceinline__ int32_t write_codes(const Kernel& kernel, const R& results,
                                               const FastCodes& code_of) {
    const TensorArguments& a = kernel.a;
    int32_t sum = 0;
#pragma unroll
    for (int tile = 0; tile < R::kTiles; ++tile) {
#pragma unroll
        for (int upper = 0; upper < 2; ++upper) {
            const int matrix_row = kernel.row_of(tile, upper);
            if (matrix_row >= a.rows) continue;
            uint32_t codes[4];
#pragma unroll
            for (int word = 0; word < 4; ++word) {
                const float2 low = results.pair(tile, upper, 2 * word);
                const float2 high = results.pair(tile, upper, 2 * word + 1);
                codes[word] =
                    pack_codes(code_of(low.x), code_of(low.y), code_of(high.x), code_of(high.y));
                sum = static_cast<int32_t>(
                    __dp4a(codes[word], 0x01010101u, static_cast<uint32_t>(sum)));
            }
            const int64_t column = (static_cast<int64_t>(matrix_row) << kernel.column_bits()) +
                                   kernel.column_group() * 64 + kernel.t * 16;
            store_codes(a.target.codes, kernel.row(), column, codes);
        }
    }
    return sum;
}

template <typename T, class Kernel, class R>
__device__ __forceinline__ void write_rows(const Kernel& kernel, const R& results, float factor) {
    const TensorArguments& a = kernel.a;
    T* row = static_cast<T*>(a.out) + kernel.row() * a.out_stride;
#pragma unroll
    for (int tile = 0; tile < R::kTiles; ++tile) {
#pragma unroll
        for (int upper = 0; upper < 2; ++upper) {
            const int matrix_row = kernel.row_of(tile, upper);
            if (matrix_row >= a.rows) continue;
            uint32_t values[kColumnTiles];
#pragma unroll
            for (int c = 0; c < kColumnTiles; ++c) {
                const float2 sums = results.pair(tile, upper, c);
                values[c] = Pair<T>::narrow(sums.x * factor, sums.y * factor);
            }
            auto* to = reinterpret_cast<uint4*>(
                row + (static_cast<int64_t>(matrix_row) << kernel.column_bits()) +
                kernel.column_group() * 64 + kernel.t * 16);
            to[0] = make_uint4(values[0], values[1], values[2], values[3]);
            to[1] = make_uint4(values[4], values[5], values[6], values[7]);
        }
    }
}

// Sums the stored codes of all who share the row; one thread stores what belongs to it.
template <class Kernel, class S>
__device__ __forceinline__ void finish_row(const Kernel& kernel, int32_t sum, float scale,
                                           int32_t (&scratch)[32]) {
    const int lane = threadIdx.x & 31, n_warps = blockDim.x / 32 * S::kSharers;
    sum = __reduce_add_sync(kAllLanes, sum);
    if (lane == 0) {
        if constexpr (S::kSharers == 1) {
            scratch[kernel.runner()] = sum;
        } else {
            const uint32_t place = shared_address(scratch + kernel.runner());
            store_remote(place, 0, static_cast<uint32_t>(sum));
        }
    }
    meet<S>();
    if (kernel.block() > 0 || threadIdx.x >= 32) return;
    sum = __reduce_add_sync(kAllLanes, lane < n_warps ? scratch[lane] : 0);
    if (lane > 0) return;
    GroupQuantizer group;
    group.divide.scale = scale;
    group.usable = true;
    const TensorArguments& a = kernel.a;
    const int biases = (a.rows << a.column_bits) * code_bias(a.target.codes.bits);
    store_group(a.target, kernel.row(), 0, group, sum - biases);
}

// The codes of 0, and the site.
__device__ void write_unusable_row(const TensorArguments& a, unsigned row) {
    const ActivationView& out = a.target.codes;
    const uint32_t zeros = code_bias(out.bits) * 0x01010101u;
    for (int64_t column = 16 * threadIdx.x; column < out.cols; column += 16 * blockDim.x) {
        store_codes(out, row, column, {zeros, zeros, zeros, zeros});
    }
    if (threadIdx.x == 0) store_group(a.target, row, 0, {}, 0);
}

// ---------------------------------------------------------------- rows done again

// Four neighbouring columns of two rows in every lane: a tile of 16 rows, 16 columns of the matrix
// in shared memory. Few registers, for a function that is called.
struct SmallTile {
    int row, column;  // of the lane's first value; the other row is 8 further
    float sums[2][4];

    __device__ SmallTile(const TensorArguments& a, const char* rows, int tile, int pair) {
        const int lane = threadIdx.x & 31;
        row = tile * 16 + (lane >> 2);
        column = pair / 4 * 64 + (lane & 3) * 16 + pair % 4 * 4;
        for (auto& part : sums) part[0] = part[1] = part[2] = part[3] = 0.0f;
        const uint32_t chunk = ((2 * pair + (lane >> 4)) ^ (lane & 7)) << 4;
#pragma unroll 1
        for (int step = 0; step < a.row_steps; ++step) {
            uint32_t signs[4], b[4];
            const int word = tile * ((a.row_steps + 3) / 4) + step / 4;
            expand_signs(__ldg(a.signs + word * 32 + lane), step % 4, kOne, signs);
            const int from = min(step * 16 + (lane & 15), a.rows);
            load_tiles_transposed(b, static_cast<uint32_t>(__cvta_generic_to_shared(rows)) +
                                         (from * 2 << a.column_bits) + chunk);
            add_tile(sums[0], signs, b[0], b[1]);
            add_tile(sums[1], signs, b[2], b[3]);
        }
    }

    __device__ float4 values(int upper) const {
        return {sums[0][2 * upper], sums[0][2 * upper + 1], sums[1][2 * upper],
                sums[1][2 * upper + 1]};
    }
};

// Hands the four values at every place of the row to `use`, each to one thread.
template <class Use>
__device__ void for_each_four(const TensorArguments& a, const char* rows, const Use& use) {
    const int pairs = 1 << (a.column_bits - 4), n_warps = blockDim.x / 32;
#pragma unroll 1
    for (int item = threadIdx.x / 32; item < a.row_steps * pairs; item += n_warps) {
        const SmallTile tile(a, rows, item / pairs, item % pairs);
#pragma unroll
        for (int upper = 0; upper < 2; ++upper) {
            const int row = tile.row + 8 * upper;
            if (row >= a.rows) continue;
            use((static_cast<int64_t>(row) << a.column_bits) + tile.column, tile.values(upper));
        }
    }
}

template <typename T>
__device__ void write_rows_again(const TensorArguments& a, unsigned row, const char* rows,
                                 float factor) {
    for_each_four(a, rows, [&](int64_t column, const float4& x) {
        auto* to = reinterpret_cast<uint2*>(static_cast<T*>(a.out) + row * a.out_stride + column);
        *to = {Pair<T>::narrow(x.x * factor, x.y * factor),
               Pair<T>::narrow(x.z * factor, x.w * factor)};
    });
}

template <class Kernel, class S>
__device__ void write_codes_again(const TensorArguments& a, const char* rows, float max_abs,
                                  float factor, RowScratch& scratch) {
    const ActivationView& out = a.target.codes;
    const FastCodes code_of(max_abs, factor, a);
    uint32_t sum = 0;
    for_each_four(a, rows, [&](int64_t column, const float4& x) {
        const uint32_t word = pack_codes(code_of(x.x), code_of(x.y), code_of(x.z), code_of(x.w));
        const int64_t at = code_offset(out.rows, out.stride, Kernel::row(), column);
        *reinterpret_cast<uint32_t*>(out.codes + at) = word;
        sum = __dp4a(word, 0x01010101u, sum);
    });
    finish_row<Kernel, S>(Kernel(a), static_cast<int32_t>(sum), code_of.scale, scratch.sums);
}

// The whole row once more, its largest input brought to 64..128. The sums of a tile are computed
// for the maximum and again for the results, which need not be kept.
template <typename T, bool kGated, class S>
__device__ __noinline__ void redo_row(const TensorArguments& a) {
    using Kernel = RowKernel<T, kGated, S>;
    __shared__ RowScratch scratch;
    __shared__ int exponent;
    const uint32_t bits = block_max(Kernel(a).largest_input_bits(), scratch.largest);
    if (threadIdx.x == 0) exponent = exponent_for(Pair<T>::widen(bits).x);
    __syncthreads();
    Kernel(a).transform_columns_slowly({a.tiles, static_cast<int>(threadIdx.x & 31), exponent});
    __syncthreads();
    const char* rows = Kernel(a).rows;
    float largest = 0.0f;
    for_each_four(a, rows, [&](int64_t, const float4& x) {
        largest = max_or_nan(max_or_nan(largest, fabsf(x.x)), fabsf(x.y));
        largest = max_or_nan(max_or_nan(largest, fabsf(x.z)), fabsf(x.w));
    });
    largest = __uint_as_float(block_max(__float_as_uint(largest), scratch.largest));
    const float unpacked = S::kPacked ? static_cast<float>(kPackedMagnitude) : 1.0f;
    const float factor = divide_by_power(a.factor * unpacked, exponent);
    const bool finite = isfinite(largest * factor);
    if (a.out != nullptr) {
        write_rows_again<T>(a, Kernel::row(), rows, finite ? factor : NAN);
    } else if (finite) {
        write_codes_again<Kernel, S>(a, rows, largest * factor, factor, scratch);
    } else {
        write_unusable_row(a, Kernel::row());
    }
}

template <typename T, bool kGated, class S>
__global__ void __launch_bounds__(S::kMaxThreads, S::kMinBlocks)
    rotate_tensor(const __grid_constant__ TensorArguments a) {
    using Kernel = RowKernel<T, kGated, S>;
    __shared__ RowScratch scratch;
    // Nothing of this was written by the predecessor.
    const ConstantTiles<T> constants(a.tiles, static_cast<int>(threadIdx.x & 31), 0);
    SignWords<S> signs = {};
    if (Kernel(a).mixes()) Kernel(a).load_signs(signs);
    Kernel(a).clear_last_row();
    let_successor_start();
    if constexpr (S::kSharers > 1) cluster_sync();  // all are running
    Results<S> results;
    float largest = 0.0f;
    constexpr bool kRehearses = S::kSharers > 1 || S::kWarpTiles == 1;
#pragma unroll 1
    for (int turn = kRehearses ? first_turn(gridDim.x / S::kBlocks) : 1; turn < 2; ++turn) {
        if (turn == 1) wait_for_predecessor();
        Kernel(a).transform_columns(constants, turn == 1);
        meet<S>();
        float own = 0.0f;
        if (Kernel(a).mixes()) {
            results.mix(Kernel(a), signs);
            own = results.largest(Kernel(a));
        }
        largest =
            __uint_as_float(row_max<S>(__float_as_uint(own), Kernel(a).runner(), scratch.largest));
    }
    const Kernel kernel(a);
    if (lost(largest, a.smallest)) {
        if (kernel.block() == 0) redo_row<T, kGated, FirstAlone<S>>(a);
    } else if (a.out != nullptr) {
        if (kernel.mixes()) write_rows<T>(kernel, results, a.factor);
    } else {
        const FastCodes code_of(largest * a.factor, a.factor, a);
        const int32_t sum = kernel.mixes() ? write_codes(kernel, results, code_of) : 0;
        finish_row<Kernel, S>(kernel, sum, code_of.scale, scratch.sums);
    }
}

// ---------------------------------------------------------------- choice and launch

// quarters, warp tiles, row steps, packed, threads, blocks a multiprocessor, runs in flight
template <bool kGated>
using OneTile = TensorShape<1, 1, 1, false, 128, kGated ? 7 : 8, 4>;
template <bool kGated>
using TwoTiles = TensorShape<1, 1, 2, false, 256, 4, 4>;
template <bool kGated>
using ThreeTiles = TensorShape<1, 1, 3, false, 384, 2, 4>;
template <bool kGated>
using ManyTiles = TensorShape<1, 2, 0, false, 640, 1, 4>;
template <bool kGated>
using ElevenTiles = TensorShape<1, 2, 11, false, 192, 3, 4>;
// The same for rows that do not fill the device: more warps share one.
template <bool kGated>
using ElevenTilesOfFewRows = TensorShape<1, 1, 11, false, 352, 1, 4>;
template <bool kGated>
using Packed512 = TensorShape<2, 2, 2, true, 256, 3, kGated ? 2 : 4>;
template <bool kGated>
using Packed1024 = TensorShape<4, 2, 2, true, 512, 2, 1>;

// Of a block.
template <class S>
int warps_of(const TensorPlan& plan) {
    if (S::kBlocks > 1) return S::kMaxThreads / 32;
    return static_cast<int>(ceil_div(plan.row_tiles, S::kWarpTiles)) << (plan.column_bits - 6);
}

template <typename T, bool kGated, class S>
void launch_shape(const TensorPlan& plan, const TensorArguments& arguments, int64_t n_rows,
                  Stream stream) {
    launch("rotate_tensor", rotate_tensor<T, kGated, S>,
           {.grid = static_cast<unsigned>(n_rows * S::kBlocks),
            .block = static_cast<unsigned>(32 * warps_of<S>(plan)),
            .shared_bytes = plan.shared_bytes(),
            .cluster = S::kBlocks},
           stream, arguments);
}

// What a cluster does sooner than a block (docs/cuda.md).
template <bool kGated>
bool takes_cluster(const TensorPlan& plan, int64_t n_rows) {
    constexpr int64_t kMostRows = 4;
    return kGated && plan.column_bits == 10 && n_rows <= kMostRows &&
           current_device().compute_capability >= 90;
}

template <typename T, bool kGated>
void launch_plan(const TensorPlan& plan, const TensorArguments& a, int64_t n_rows, Stream stream) {
    if (plan.column_bits == 9) {
        launch_shape<T, kGated, Packed512<kGated>>(plan, a, n_rows, stream);
    } else if (takes_cluster<kGated>(plan, n_rows)) {
        launch_shape<T, kGated, InCluster<Packed1024<kGated>>>(plan, a, n_rows, stream);
    } else if (plan.column_bits == 10) {
        launch_shape<T, kGated, Packed1024<kGated>>(plan, a, n_rows, stream);
    } else if (plan.row_tiles == 1) {
        launch_shape<T, kGated, OneTile<kGated>>(plan, a, n_rows, stream);
    } else if (plan.row_tiles == 2) {
        launch_shape<T, kGated, TwoTiles<kGated>>(plan, a, n_rows, stream);
    } else if (plan.row_tiles == 3) {
        launch_shape<T, kGated, ThreeTiles<kGated>>(plan, a, n_rows, stream);
    } else if (plan.row_tiles == 11 && plan.column_bits == 6 && n_rows <= kFewRows) {
        launch_shape<T, kGated, ElevenTilesOfFewRows<kGated>>(plan, a, n_rows, stream);
    } else if (plan.row_tiles == 11 && plan.column_bits == 6) {
        launch_shape<T, kGated, ElevenTiles<kGated>>(plan, a, n_rows, stream);
    } else {
        launch_shape<T, kGated, ManyTiles<kGated>>(plan, a, n_rows, stream);
    }
}

void launch_tensor(const Rotation& rotation, const RotateInput& in, TensorArguments a,
                   Stream stream) {
    require(takes_tensor_path(rotation, in), "rotate_tensor: input does not fit the plan");
    if (in.rows.rows == 0) return;
    const TensorPlan& plan = rotation.tensor_plan();
    a.in = in.rows.data;
    a.in_stride = in.rows.stride;
    a.up = in.up;
    a.up_stride = in.up_stride;
    a.tiles = reinterpret_cast<const uint4*>(rotation.tiles());
    a.signs = rotation.signs();
    a.rows = plan.rows;
    a.column_bits = plan.column_bits;
    a.row_steps = plan.row_tiles;
    a.factor = plan.factor;
    // Sums of K halves near 2^-9 each: those halves have lost at most two bits of eleven.
    a.smallest = 0x1p-8f * std::sqrt(static_cast<float>(plan.rows));
    const bool half = in.rows.dtype == DType::F16, gated = in.up != nullptr;
    if (half && gated) launch_plan<__half, true>(plan, a, in.rows.rows, stream);
    if (half && !gated) launch_plan<__half, false>(plan, a, in.rows.rows, stream);
    if (!half && gated) launch_plan<__nv_bfloat16, true>(plan, a, in.rows.rows, stream);
    if (!half && !gated) launch_plan<__nv_bfloat16, false>(plan, a, in.rows.rows, stream);
}

bool is_aligned(const void* data, int64_t stride) {
    return reinterpret_cast<uintptr_t>(data) % 16 == 0 && stride % 8 == 0;
}

}  // namespace

bool takes_tensor_path(const Rotation& rotation, const RotateInput& in) {
    const RowsView& rows = in.rows;
    return rotation.tensor_plan().usable() && rows.dtype != DType::F32 &&
           rows.cols == rotation.block() && is_aligned(rows.data, rows.stride) &&
           (in.up == nullptr || is_aligned(in.up, in.up_stride)) &&
           rotation.tensor_plan().shared_bytes() + kScratchBytes <= current_device().shared_bytes;
}

void rotate_rows_tensor(const Rotation& rotation, const RotateInput& in, const RowsView& out,
                        Stream stream) {
    require(out.dtype == in.rows.dtype && is_aligned(out.data, out.stride),
            "rotate_tensor: rows out");
    TensorArguments arguments;
    arguments.out = out.data;
    arguments.out_stride = out.stride;
    launch_tensor(rotation, in, arguments, stream);
}

void rotate_quantize_tensor(const Rotation& rotation, const RotateInput& in,
                            const QuantizeTarget& target, Stream stream) {
    const ActivationView& codes = target.codes;
    require(codes.offsets == nullptr && codes.bases == nullptr && codes.group_size == 0 &&
                codes.stride == in.rows.cols && !target.two_level && target.positions == nullptr,
            "rotate_tensor: format of codes");
    TensorArguments arguments;
    arguments.target = target;
    arguments.most_code = static_cast<float>((1 << (codes.bits - 1)) - 1);
    launch_tensor(rotation, in, arguments, stream);
}

}  // namespace quarot::kernels::cuda
