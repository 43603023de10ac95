// What one warp does with one tile of 64 positions: scores, softmax weights and the weighted sum of
// V, on tensor cores. The fast attention kernels are loops around attend_tile, or repeat its
// arithmetic in its order (attention_prefill_sm90.cu), so their sums agree bit for bit.
//
// Both products have positions or dimensions on the 16 rows of m16n8k16 and queries on its 8
// columns: S^T = K q^T and O^T = V^T P^T. A warp holds kGroups groups of 8 queries. Lane 4 g + t
// has, of a result tile, rows g and g + 8 (elements 0, 1 and 2, 3) and columns 2t and 2t + 1.
//
// Codes enter as halves code - 2^(bits-1), which is exact; scales and zero points act outside the
// products:
//   score_j = (q . code_j - zero_j sum(q)) scale_j        (K's, of position j)
//   score_j = q . half(scale . code_j + offset)           (K's by channel, of full blocks)
//   out     = sum_j W_j code_j - sum_j W_j zero_j         (V's), W_j = half(weight_j scale_j)
// The running maximum is taken over score + log2 of the power of two in V's scale, so that W keeps
// its precision whatever V's scales are, and rounded up to a whole number.
#pragma once

#include <cstdint>

#include "kernels/cuda/attention_kernels.cuh"
#include "kernels/cuda/channel_keys.cuh"
#include "kernels/cuda/device/bounded_ctas.cuh"
#include "kernels/cuda/device/fragments.cuh"
#include "kernels/cuda/device/half_mma.cuh"
#include "kernels/cuda/device/mbarrier.cuh"
#include "kernels/cuda/device/memory.cuh"
#include "kernels/cuda/kv_view.h"
#include "tensor/dtype.h"

namespace quarot::kernels::cuda {

inline constexpr float kLog2E = 1.44269504088896340736f;
// Weights are at most 2 times this in the second product, inside the range of halves.
inline constexpr float kWeightFactor = 16384.0f;  // 2^14

// kChannelBlock: positions of a block of keys by channel; 0: keys by token.
template <int kDim, KvContainer kKept, int kChannelBlock = 0>
struct TileShape {
    static constexpr int kHeadDim = kDim;
    static constexpr KvContainer kContainer = kKept;
    static constexpr bool kCoded = is_coded(kKept);
    static constexpr int kPlanes = planes_of(kKept);
    static constexpr int kUnits = kDim / kPlanes;  // of 16 bits, a row
    static constexpr int kBlocks = kUnits / 16;    // of 16 units: one ldmatrix each for 16 rows
    static constexpr int kSteps = kDim / 16;
    static constexpr int kRowBytes = 2 * kUnits;
    static constexpr int kScalesAt = kTileTokens * kRowBytes;  // from the codes of K or of V
    static constexpr int kZerosAt = kScalesAt + 4 * kTileTokens;
    static constexpr int kValueBytes = kCoded ? kZerosAt + 2 * kTileTokens : kScalesAt;

    static constexpr bool kByChannel = kChannelBlock > 0;
    static constexpr int kBlock = kByChannel ? kChannelBlock : kTileTokens;
    static constexpr int kFactorBytes = channel_block_bytes(kUnits, kPlanes);  // of a block
    // Of K; V follows.
    static constexpr int kPartBytes =
        kByChannel ? kScalesAt + kTileTokens / kBlock * kFactorBytes : kValueBytes;
    static constexpr int kTileBytes = kPartBytes + kValueBytes;
};

// The shapes that tensor cores serve; `then` takes a value of the shape's type.
template <typename Then>
void with_tile_shape(const KvView& kv, const Then& then) {
    const auto with_container = [&]<int kDim>() {
        constexpr KvContainer kNibble = KvContainer::Nibble;
        if (kv.k.by_channel()) {
            if (kv.k.container != kNibble) return;
            if (kv.k.block == 32) then(TileShape<kDim, kNibble, 32>());
            if (kv.k.block == 64) then(TileShape<kDim, kNibble, 64>());
            return;
        }
        if (kv.k.container == kNibble) then(TileShape<kDim, kNibble>());
        if (kv.k.container == KvContainer::Byte) then(TileShape<kDim, KvContainer::Byte>());
        if (kv.k.container == KvContainer::Half) then(TileShape<kDim, KvContainer::Half>());
    };
    if (kv.head_dim == 64) with_container.template operator()<64>();
    if (kv.head_dim == 128) with_container.template operator()<128>();
}

// What every warp of a call needs, in halves (twice a register) where it meets codes.
struct TileConstants {
    // 1024, whose low bits take a code. A value that the compiler does not see: with a literal
    // ptxas makes two instructions of (bits & mask) | base.
    uint32_t base = 0x64006400u;
    // With center = 2^(bits-1): 1024 + center and, for codes times 16, -(64 + center).
    uint32_t k_low = 0, k_high = 0;
    uint32_t v_low = 0, v_high = 0;
    float k_center = 0.0f, v_center = 0.0f;
    float score_factor = 1.0f;  // to powers of two
    float score_cap = 0.0f;     // in powers of two; 0: none
    float cap_factor = 0.0f;    // 2 / score_cap, for tanh
    int window = 0;             // positions seen; a large number: all
};

inline TileConstants make_tile_constants(const AttentionCall& call) {
    const auto twice = [](uint32_t half) { return half | half << 16; };
    // Keys by channel have no zero point to be near.
    const uint32_t k_center = call.kv.k.by_channel() ? 0u : 1u << (call.kv.k.bits - 1);
    const uint32_t v_center = 1u << (call.kv.v.bits - 1);
    TileConstants constants;
    // A half from 1024 counts ones, one from 64 sixteenths.
    constants.k_low = twice(0x6400u + k_center);
    constants.v_low = twice(0x6400u + v_center);
    constants.k_high = twice(0xd400u + 16 * k_center);
    constants.v_high = twice(0xd400u + 16 * v_center);
    constants.k_center = static_cast<float>(k_center);
    constants.v_center = static_cast<float>(v_center);
    constants.score_factor = call.scale * kLog2E;
    constants.score_cap = call.score_cap * kLog2E;
    constants.cap_factor = call.score_cap > 0.0f ? 2.0f / call.score_cap : 0.0f;
    constexpr int64_t kAll = 0x7fffffff;
    constants.window = static_cast<int>(call.window > 0 && call.window < kAll ? call.window : kAll);
    return constants;
}

// ---------------------------------------------------------------- queries

// What a warp knows of one of its queries, in shared memory.
struct QueryColumn {
    float sum = 0.0f;     // of the halves
    float factor = 0.0f;  // from a product of halves to a score in powers of two
    int position = -1;    // -1: no query
    int unused = 0;
};

// Operand B of the first product: in registers, or in shared memory where sums and codes take the
// registers.
template <typename Shape, int kGroups, bool kShared>
struct Queries;

template <typename Shape, int kGroups>
struct Queries<Shape, kGroups, false> {
    uint32_t words[Shape::kSteps][kGroups][2];
    const QueryColumn* columns;  // [8 * kGroups]

    __device__ void set(int step, int n, int half, uint32_t word) { words[step][n][half] = word; }
    __device__ void get(int step, uint32_t (&b)[kGroups][2]) const {
#pragma unroll
        for (int i = 0; i < 2 * kGroups; ++i) b[i / 2][i % 2] = words[step][i / 2][i % 2];
    }
};

template <typename Shape>
struct Queries<Shape, 2, true> {
    uint4* words;                // [kSteps][32], a warp's own
    const QueryColumn* columns;  // [16]

    __device__ void set(int step, int n, int half, uint32_t word) {
        reinterpret_cast<uint32_t*>(words + 32 * step + threadIdx.x % 32)[2 * n + half] = word;
    }
    __device__ void get(int step, uint32_t (&b)[2][2]) const {
        const uint4 both = words[32 * step + threadIdx.x % 32];
        b[0][0] = both.x;
        b[0][1] = both.y;
        b[1][0] = both.z;
        b[1][1] = both.w;
    }
};

// This lane's pairs of the query at `at`, two to a step of 16 dimensions; zeros if not `present`.
template <typename Shape>
__device__ __forceinline__ void load_pairs(float2 (&x)[Shape::kSteps][2], const void* data,
                                           DType dtype, int64_t at, bool present) {
    const auto each = [&](const auto& load) {
#pragma unroll
        for (int i = 0; i < 2 * Shape::kSteps; ++i) {
            const int step = i / 2;
            const int dim = step % Shape::kPlanes * Shape::kUnits + step / Shape::kPlanes * 16;
            x[step][i % 2] = present ? load(at + dim + i % 2 * 8) : make_float2(0.0f, 0.0f);
        }
    };
    if (dtype == DType::F32) {
        each([&](int64_t i) { return *(static_cast<const float2*>(data) + i / 2); });
    } else if (dtype == DType::F16) {
        each([&](int64_t i) {
            return unpack_halves(*(static_cast<const uint32_t*>(data) + i / 2));
        });
    } else {
        each([&](int64_t i) {
            const uint32_t bits = *(static_cast<const uint32_t*>(data) + i / 2);
            return make_float2(__uint_as_float(bits << 16), __uint_as_float(bits & 0xffff0000u));
        });
    }
}

// Where a query lies: elements from the start of q's data, and its position or -1.
struct QueryPlace {
    int64_t at = 0;
    int position = -1;
};

// place(i) is the query of column i of the warp, 0 .. 8 * kGroups - 1. Each query is scaled by a
// power of two into the range of halves.
template <typename Shape, int kGroups, bool kShared, typename Place>
__device__ void load_queries(Queries<Shape, kGroups, kShared>& queries, QueryColumn* columns,
                             const void* data, DType dtype, float score_factor,
                             const Place& place) {
    const int lane = threadIdx.x % 32, t = lane % 4;
#pragma unroll
    for (int n = 0; n < kGroups; ++n) {
        const QueryPlace query = place(8 * n + lane / 4);
        float2 x[Shape::kSteps][2];
        load_pairs<Shape>(x, data, dtype, query.at + 2 * t, query.position >= 0);
        float largest = 0.0f;
#pragma unroll
        for (int step = 0; step < Shape::kSteps; ++step) {
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                const float2 pair = x[step][half];
                largest = fmaxf(largest, fmaxf(fabsf(pair.x), fabsf(pair.y)));
            }
        }
        largest = fmaxf(largest, __shfl_xor_sync(~0u, largest, 1));
        largest = fmaxf(largest, __shfl_xor_sync(~0u, largest, 2));
        const uint32_t exponent = __float_as_uint(largest) & 0x7f800000u;
        const float down = __uint_as_float(0x7f000000u - exponent);
        float sum = 0.0f;
#pragma unroll
        for (int step = 0; step < Shape::kSteps; ++step) {
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                const float2 pair = x[step][half];
                const uint32_t halves = pack_halves(pair.x * down, pair.y * down);
                const float2 rounded = unpack_halves(halves);
                queries.set(step, n, half, halves);
                sum += rounded.x + rounded.y;
            }
        }
        sum += __shfl_xor_sync(~0u, sum, 1);
        sum += __shfl_xor_sync(~0u, sum, 2);
        if (t == 0) {
            columns[8 * n + lane / 4] = {sum, __uint_as_float(exponent) * score_factor,
                                         query.position, 0};
        }
    }
    queries.columns = columns;
    __syncwarp();
}

// ---------------------------------------------------------------- running sums

// kOut: tiles of 16 dimensions that a warp adds up, from the first on where it has all.
template <typename Shape, int kGroups, int kOut = Shape::kSteps>
struct RunningSums {
    float out[kOut][kGroups][4];  // tile i: dimensions of block i / planes, plane i % planes
    // Of columns 2t and 2t + 1; sums over the positions of this lane's rows.
    float maximum[kGroups][2];  // a whole number, or -inf
    float weight[kGroups][2];
    float zero[kGroups][2];  // sum of W times zero point

    __device__ void clear() {
#pragma unroll
        for (int n = 0; n < kGroups; ++n) {
#pragma unroll
            for (int i = 0; i < kOut; ++i) {
#pragma unroll
                for (int e = 0; e < 4; ++e) out[i][n][e] = 0.0f;
            }
#pragma unroll
            for (int c = 0; c < 2; ++c) {
                maximum[n][c] = -INFINITY;
                weight[n][c] = zero[n][c] = 0.0f;
            }
        }
    }

    // Adds up the lanes and takes V's zero points off.
    __device__ void finish() {
#pragma unroll
        for (int n = 0; n < kGroups; ++n) {
#pragma unroll
            for (int c = 0; c < 2; ++c) {
#pragma unroll
                for (int distance = 4; distance < 32; distance *= 2) {
                    weight[n][c] += __shfl_xor_sync(~0u, weight[n][c], distance);
                    if (Shape::kCoded) zero[n][c] += __shfl_xor_sync(~0u, zero[n][c], distance);
                }
            }
#pragma unroll
            for (int i = 0; i < kOut; ++i) {
#pragma unroll
                for (int e = 0; e < 4; ++e) out[i][n][e] -= zero[n][e % 2];
            }
        }
    }
};

// ---------------------------------------------------------------- codes to halves

// Planes of a register of two neighbouring units, as halves of code - center. `low`, `high`: of
// TileConstants.
template <KvContainer kContainer>
__device__ __forceinline__ void unpack(uint32_t packed, uint32_t base, uint32_t low, uint32_t high,
                                       uint32_t (&planes)[planes_of(kContainer)]) {
    const auto halves = [](uint32_t bits) { return *reinterpret_cast<const __half2*>(&bits); };
    const auto bits = [](__half2 pair) { return *reinterpret_cast<const uint32_t*>(&pair); };
    if constexpr (kContainer == KvContainer::Nibble) {
        const __half2 sixteenth = halves(0x2c002c00u);
#pragma unroll
        for (int pair = 0; pair < 2; ++pair) {
            const uint32_t two = packed >> (8 * pair);
            const uint32_t even = (two & 0x000f000fu) | base;  // 1024 + code
            const uint32_t odd = (two & 0x00f000f0u) | base;   // 1024 + 16 code
            planes[2 * pair] = bits(__hsub2(halves(even), halves(low)));
            planes[2 * pair + 1] = bits(__hfma2(halves(odd), sixteenth, halves(high)));
        }
    } else if constexpr (kContainer == KvContainer::Byte) {
        planes[0] = bits(__hsub2(halves(__byte_perm(packed, base, 0x7250)), halves(low)));
        planes[1] = bits(__hsub2(halves(__byte_perm(packed, base, 0x7351)), halves(low)));
    } else {
        planes[0] = packed;
    }
}

// Fragments of 16 rows and block `block` of 16 units, one plane each.
template <typename Shape>
__device__ __forceinline__ void unpack_block(const uint32_t (&packed)[4], uint32_t base,
                                             uint32_t low, uint32_t high,
                                             uint32_t (&a)[Shape::kPlanes][4]) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        uint32_t planes[Shape::kPlanes];
        unpack<Shape::kContainer>(packed[i], base, low, high, planes);
#pragma unroll
        for (int p = 0; p < Shape::kPlanes; ++p) a[p][i] = planes[p];
    }
}

// ---------------------------------------------------------------- scales

// K's scale and centered zero point of a position.
struct KeyScale {
    float scale = 1.0f;
    float zero = 0.0f;
};

// V's scale of a position is 2^exponent times a rest in [1, 2).
struct ValueScale {
    float exponent = 0.0f;
    float inverse = 1.0f;        // 2^-exponent
    float rest = kWeightFactor;  // times kWeightFactor
};

__device__ __forceinline__ ValueScale split_scale(float scale) {
    // Scales below 2^-100 are not told from 0.
    const uint32_t exponent = max(__float_as_uint(scale) & 0x7f800000u, 27u << 23);
    constexpr uint32_t kOne = 127u << 23, kFactor = 14u << 23;
    const float to_rest = __uint_as_float(2 * kOne + kFactor - exponent);
    return {static_cast<float>(static_cast<int>(exponent >> 23) - 127),
            __uint_as_float(2 * kOne - exponent), scale * to_rest};
}

// Scales and zero points of a tile in shared memory. Loads stay where they are written: brought
// forward, they would cost the sums their registers.
template <typename Shape>
struct TileScales {
    uint32_t tile;

    __device__ float scale(int part, int token) const {
        float value;
        asm volatile("ld.shared.f32 %0, [%1];"
                     : "=f"(value)
                     : "r"(tile + part + Shape::kScalesAt + 4 * token)
                     : "memory");
        return value;
    }
    __device__ float zero(int part, int token) const {
        int16_t value;
        asm volatile("ld.shared.s16 %0, [%1];"
                     : "=h"(value)
                     : "r"(tile + part + Shape::kZerosAt + 2 * token)
                     : "memory");
        return static_cast<float>(value);
    }
    __device__ KeyScale key(int token, const TileConstants& constants) const {
        if constexpr (!Shape::kCoded || Shape::kByChannel) return {};
        return {scale(0, token), zero(0, token) - constants.k_center};
    }
    // Beyond the last position (`present` false) anything may lie, a NaN too.
    __device__ ValueScale value(int token, bool present) const {
        if constexpr (!Shape::kCoded) return {};
        return split_scale(present ? scale(Shape::kPartBytes, token) : 1.0f);
    }
    __device__ float value_zero(int token, const TileConstants& constants) const {
        if constexpr (!Shape::kCoded) return 0.0f;
        return zero(Shape::kPartBytes, token) - constants.v_center;
    }
};

// ---------------------------------------------------------------- keys by channel

// Keys by channel of the queries' own blocks, as they came; nothing where keys are by token.
// Found where they are read, from a place in shared memory, so that they take no registers
// elsewhere.
struct OwnPlace {
    int sequence = 0, kv_head = 0;
    int lowest = 0;  // of the queries' positions
};
template <typename Shape>
struct OwnKeys {
    const AttentionCall& call;
    const OwnPlace& place;

    // All lanes of a warp call it, whose place it is.
    __device__ OwnKeys(const AttentionCall& of, OwnPlace& memory, const OwnPlace& at)
        : call(of), place(memory) {
        memory = at;
        __syncwarp();
    }
    __device__ int lowest() const { return place.lowest; }
    __device__ ExactKeys<__half> find() const {
        const ChannelRun run = channel_run(call.batch, call.kv.k, place.sequence);
        return ExactKeys<__half>(call.kv, call.k, run, call.layer, place.kv_head, false);
    }
    // Dimensions dim and dim + 1.
    static __device__ __forceinline__ uint32_t pair(const __half* key, int dim) {
        return *reinterpret_cast<const uint32_t*>(key + dim);
    }
    // Of this lane in a step of 16 dimensions.
    static __device__ __forceinline__ int first_dimension(int step) {
        return step % Shape::kPlanes * Shape::kUnits + step / Shape::kPlanes * 16 +
               threadIdx.x % 4 * 2;
    }
};
template <typename Shape>
requires(!Shape::kByChannel) struct OwnKeys<Shape> {
    __device__ OwnKeys(const AttentionCall&, OwnPlace&, const OwnPlace&) {}
};

// Codes to keys: halves of two neighbouring dimensions, rounded once.
__device__ __forceinline__ uint32_t channel_keys(uint32_t codes, uint32_t scales,
                                                 uint32_t offsets) {
    const auto halves = [](const uint32_t& bits) {
        return *reinterpret_cast<const __half2*>(&bits);
    };
    const __half2 keys = __hfma2(halves(codes), halves(scales), halves(offsets));
    return *reinterpret_cast<const uint32_t*>(&keys);
}

// ---------------------------------------------------------------- the step

// cap * tanh(x / cap), both in powers of two.
__device__ __forceinline__ float cap_score(float x, const TileConstants& constants) {
    const float e = exp2_approximate(x * constants.cap_factor);
    return constants.score_cap * (1.0f - __fdividef(2.0f, 1.0f + e));
}

// A tile against the queries of a warp.
template <typename Shape, int kGroups, bool kShared>
struct TileStep {
    static constexpr int kSubtiles = kTileTokens / 16;
    static constexpr bool kAlike = kGroups == 1;  // all queries stand at one position

    const Queries<Shape, kGroups, kShared>& queries;
    const TileConstants& constants;
    TileScales<Shape> scales;
    int first_position;
    int last;  // no query sees more
    OwnKeys<Shape> own;
    float score[kSubtiles][kGroups][4];  // in powers of two, with the exponent of V's scale

    // This lane's column c of group n.
    __device__ const QueryColumn& column(int n, int c) const {
        return queries.columns[8 * n + 2 * (threadIdx.x % 4) + c];
    }
    // Position in the tile of row r (0: g, 1: g + 8) of 16 positions.
    static __device__ int position_of(int sub, int r) {
        return 16 * sub + threadIdx.x % 32 / 4 + 8 * r;
    }

    template <typename Body>
    __device__ __forceinline__ void each_subtile(const Body& body) const {
#pragma unroll
        for (int sub = 0; sub < kSubtiles; ++sub) body(sub);
    }

    // Calls body(score, sub, r, n, c) for every score of this lane.
    template <typename Body>
    __device__ __forceinline__ void each_score(const Body& body) const {
#pragma unroll
        for (int i = 0; i < 2 * kSubtiles; ++i) {
#pragma unroll
            for (int n = 0; n < kGroups; ++n) {
#pragma unroll
                for (int c = 0; c < 2; ++c) {
                    body(score[i / 2][n][i % 2 * 2 + c], i / 2, i % 2, n, c);
                }
            }
        }
    }

    __device__ __forceinline__ void clear(float (&to)[kGroups][4]) const {
#pragma unroll
        for (int i = 0; i < 4 * kGroups; ++i) to[i / 4][i % 4] = 0.0f;
    }

    // Adds the products of 16 positions, in one step of 16 dimensions, with all queries.
    __device__ __forceinline__ void multiply_step(float (&to)[kGroups][4], int step,
                                                  const uint32_t (&a)[4]) const {
        uint32_t b[kGroups][2];
        queries.get(step, b);
#pragma unroll
        for (int n = 0; n < kGroups; ++n) add_tile(to[n], a, b[n][0], b[n][1]);
    }

    // Products of 16 positions with K's `codes`, in shared memory.
    __device__ __forceinline__ void multiply_keys(float (&to)[kGroups][4], int sub,
                                                  uint32_t codes) const {
        const int row = threadIdx.x % 16, half = threadIdx.x % 32 / 16;
        clear(to);
#pragma unroll
        for (int block = 0; block < Shape::kBlocks; ++block) {
            const int piece = swizzled_piece(row, 2 * block + half, Shape::kRowBytes);
            uint32_t packed[4], a[Shape::kPlanes][4];
            load_tiles(packed, codes + (16 * sub + row) * Shape::kRowBytes + 16 * piece);
            unpack_block<Shape>(packed, constants.base, constants.k_low, constants.k_high, a);
#pragma unroll
            for (int p = 0; p < Shape::kPlanes; ++p) {
                multiply_step(to, block * Shape::kPlanes + p, a[p]);
            }
        }
    }

    // Products of n times 16 positions with K's `codes`, of one block of keys by channel, to[0] of
    // those from 16 * sub on. Factors of channels serve all n; two planes at a time, since four
    // would take their registers.
    __device__ __forceinline__ void multiply_channels(float (*to)[kGroups][4], int sub, int n,
                                                      uint32_t codes) const {
        const int row = threadIdx.x % 16, half = threadIdx.x % 32 / 16;
        const uint32_t factors = codes + Shape::kScalesAt +
                                 16 * sub / Shape::kBlock * Shape::kFactorBytes +
                                 threadIdx.x % 4 * 16;
#pragma unroll
        for (int i = 0; i < n; ++i) clear(to[i]);
#pragma unroll
        for (int pair = 0; pair < Shape::kBlocks * Shape::kPlanes / 2; ++pair) {
            const int block = 2 * pair / Shape::kPlanes, plane = 2 * pair % Shape::kPlanes;
            const int piece = swizzled_piece(row, 2 * block + half, Shape::kRowBytes);
            const uint4 of[2] = {load_shared(factors + 128 * pair),
                                 load_shared(factors + 128 * pair + 64)};
#pragma unroll
            for (int i = 0; i < n; ++i) {
                uint32_t packed[4], a[Shape::kPlanes][4];
                load_tiles(packed, codes + (16 * (sub + i) + row) * Shape::kRowBytes + 16 * piece);
                unpack_block<Shape>(packed, constants.base, constants.k_low, constants.k_high, a);
#pragma unroll
                for (int p = 0; p < 2; ++p) {
                    uint32_t(&keys)[4] = a[plane + p];
                    keys[0] = channel_keys(keys[0], of[p].x, of[p].y);
                    keys[1] = channel_keys(keys[1], of[p].x, of[p].y);
                    keys[2] = channel_keys(keys[2], of[p].z, of[p].w);
                    keys[3] = channel_keys(keys[3], of[p].z, of[p].w);
                    multiply_step(to[i], 2 * pair + p, keys);
                }
            }
        }
    }

    // Products of 16 positions with the keys of their block as they came.
    __device__ __forceinline__ void multiply_own(float (&to)[kGroups][4], int sub,
                                                 const ExactKeys<__half>& keys) const {
        const __half* low = keys.key(first_position + position_of(sub, 0));
        const __half* high = keys.key(first_position + position_of(sub, 1));
        clear(to);
#pragma unroll
        for (int step = 0; step < Shape::kSteps; ++step) {
            const int dim = own.first_dimension(step);
            const uint32_t a[4] = {own.pair(low, dim), own.pair(high, dim), own.pair(low, dim + 8),
                                   own.pair(high, dim + 8)};
            multiply_step(to, step, a);
        }
    }

    // The same of n times 16 positions of a block that all queries stand in. The sums wait where
    // the block's codes lie, which nobody reads, so that the loop need not be unrolled and takes no
    // registers from that of other tiles.
    __device__ __forceinline__ void multiply_alike(float (*to)[kGroups][4], int sub, int n,
                                                   uint32_t codes,
                                                   const ExactKeys<__half>& keys) const {
        static_assert(16 * Shape::kRowBytes >= 32 * 16);
        const auto place = [&](int i) {
            return codes + 16 * (sub + i) * Shape::kRowBytes + threadIdx.x % 32 * 16;
        };
#pragma unroll 1
        for (int i = 0; i < n; ++i) {
            float sums[kGroups][4];
            multiply_own(sums, sub + i, keys);
            store_shared(place(i), make_float4(sums[0][0], sums[0][1], sums[0][2], sums[0][3]));
        }
#pragma unroll
        for (int i = 0; i < n; ++i) {
            const uint4 sums = load_shared(place(i));
            to[i][0][0] = __uint_as_float(sums.x);
            to[i][0][1] = __uint_as_float(sums.y);
            to[i][0][2] = __uint_as_float(sums.z);
            to[i][0][3] = __uint_as_float(sums.w);
        }
    }

    // Products of n times 16 positions of one block of keys by channel with what each query sees of
    // them: codes from behind the block, the keys as they came from inside. Before it none is seen.
    __device__ __forceinline__ void multiply_block(float (*to)[kGroups][4], int sub, int n,
                                                   uint32_t codes) const {
        const int block = (first_position + 16 * sub) / Shape::kBlock;
        // Votes tell the compiler that all lanes agree.
        const bool behind = __any_sync(~0u, last / Shape::kBlock > block);
        const int lowest = kAlike ? last : own.lowest();
        if (behind) multiply_channels(to, sub, n, codes);
        if (__any_sync(~0u, lowest / Shape::kBlock > block)) return;
        const ExactKeys<__half> keys = own.find();
        if constexpr (kAlike) {
            multiply_alike(to, sub, n, codes, keys);
        } else {
            multiply_mixed(to, sub, n, keys, behind);
        }
    }

    // The same where some queries see codes, which are in `to`, if any stand behind the block.
    __device__ __forceinline__ void multiply_mixed(float (*to)[kGroups][4], int sub, int n,
                                                   const ExactKeys<__half>& keys,
                                                   bool behind) const {
        const int block = (first_position + 16 * sub) / Shape::kBlock;
#pragma unroll
        for (int i = 0; i < n; ++i) {
            float inside[kGroups][4];
            multiply_own(inside, sub + i, keys);
#pragma unroll
            for (int j = 0; j < 4 * kGroups; ++j) {
                const bool sees_codes =
                    behind && column(j / 4, j % 2).position / Shape::kBlock > block;
                if (!sees_codes) to[i][j / 4][j % 4] = inside[j / 4][j % 4];
            }
        }
    }

    // Products of all positions.
    __device__ __forceinline__ void multiply_tile(uint32_t codes) {
        if constexpr (Shape::kByChannel) {
            constexpr int kOfBlock = Shape::kBlock / 16;
#pragma unroll
            for (int sub = 0; sub < kSubtiles; sub += kOfBlock) {
                multiply_block(score + sub, sub, kOfBlock, codes);
            }
        } else {
            each_subtile([&](int sub) { multiply_keys(score[sub], sub, codes); });
        }
    }

    // This lane's columns.
    struct ColumnFactors {
        float factor[kGroups][2], sum[kGroups][2];
    };
    __device__ __forceinline__ ColumnFactors column_factors() const {
        ColumnFactors f;
#pragma unroll
        for (int i = 0; i < 2 * kGroups; ++i) {
            f.factor[i / 2][i % 2] = column(i / 2, i % 2).factor;
            f.sum[i / 2][i % 2] = column(i / 2, i % 2).sum;
        }
        return f;
    }

    // From products of 16 positions to scores.
    template <bool kCapped>
    __device__ __forceinline__ void scale_scores(float (&to)[kGroups][4], int sub,
                                                 const ColumnFactors& f) const {
#pragma unroll
        for (int r = 0; r < 2; ++r) {
            const int token = position_of(sub, r);
            const KeyScale key = scales.key(token, constants);
            const float exponent = scales.value(token, true).exponent;
#pragma unroll
            for (int j = 0; j < 2 * kGroups; ++j) {
                const int n = j / 2, c = j % 2;
                float& x = to[n][2 * r + c];
                if constexpr (Shape::kCoded && !Shape::kByChannel) {
                    x = __fmaf_rn(-key.zero, f.sum[n][c], x) * key.scale;
                }
                x = kCapped ? cap_score(x * f.factor[n][c], constants) + exponent
                            : __fmaf_rn(x, f.factor[n][c], exponent);
            }
        }
    }

    // Scores of 16 positions that a query does not see become -inf.
    __device__ __forceinline__ void mask(float (&to)[kGroups][4], int sub) const {
#pragma unroll
        for (int i = 0; i < 4 * kGroups; ++i) {
            const int n = i / 4, r = i % 4 / 2, c = i % 2;
            const int position = first_position + position_of(sub, r);
            const int newest = column(n, c).position;
            const bool seen = position <= newest && position > newest - constants.window;
            if (!seen) to[n][2 * r + c] = -INFINITY;
        }
    }

    // `codes`: K's. `masked`: some query may not see all.
    __device__ __forceinline__ void find_scores(uint32_t codes, bool masked) {
        multiply_tile(codes);
        const ColumnFactors f = column_factors();
        if (constants.score_cap > 0.0f) {
            each_subtile([&](int sub) { scale_scores<true>(score[sub], sub, f); });
        } else {
            each_subtile([&](int sub) { scale_scores<false>(score[sub], sub, f); });
        }
        if (masked) each_subtile([&](int sub) { mask(score[sub], sub); });
    }

    // Older sums are scaled down to the new maximum.
    template <int kOut>
    __device__ __forceinline__ void raise_maximum(RunningSums<Shape, kGroups, kOut>& sums) const {
        float largest[kGroups][2];
        bool raised = false;
#pragma unroll
        for (int i = 0; i < 2 * kGroups; ++i) largest[i / 2][i % 2] = -INFINITY;
        each_score(
            [&](float x, int, int, int n, int c) { largest[n][c] = fmaxf(largest[n][c], x); });
#pragma unroll
        for (int i = 0; i < 2 * kGroups; ++i) {
            float& x = largest[i / 2][i % 2];
#pragma unroll
            for (int distance = 4; distance < 32; distance *= 2) {
                x = fmaxf(x, __shfl_xor_sync(~0u, x, distance));
            }
            x = ceilf(x);
            raised |= x > sums.maximum[i / 2][i % 2];
        }
        if (!__any_sync(~0u, raised)) return;
#pragma unroll
        for (int n = 0; n < kGroups; ++n) {
            float older[2];
#pragma unroll
            for (int c = 0; c < 2; ++c) {
                const float maximum = fmaxf(sums.maximum[n][c], largest[n][c]);
                older[c] = power_of_two(sums.maximum[n][c] - maximum);
                sums.maximum[n][c] = maximum;
                sums.weight[n][c] *= older[c];
                sums.zero[n][c] *= older[c];
            }
#pragma unroll
            for (int i = 0; i < kOut; ++i) {
#pragma unroll
                for (int e = 0; e < 4; ++e) sums.out[i][n][e] *= older[e % 2];
            }
        }
    }

    // Weights of 16 positions as operand B of the second product.
    template <int kOut>
    __device__ __forceinline__ void make_weights(RunningSums<Shape, kGroups, kOut>& sums, int sub,
                                                 uint32_t (&b)[kGroups][2]) const {
#pragma unroll
        for (int r = 0; r < 2; ++r) {
            const int token = position_of(sub, r);
            const ValueScale scale = scales.value(token, first_position + token <= last);
            const float zero = scales.value_zero(token, constants);
#pragma unroll
            for (int n = 0; n < kGroups; ++n) {
                float weight[2];
#pragma unroll
                for (int c = 0; c < 2; ++c) {
                    // Where nothing was seen yet the maximum is -inf: so are all scores.
                    const float maximum = fmaxf(sums.maximum[n][c], -3e38f);
                    const float w = exp2_approximate(score[sub][n][2 * r + c] - maximum);
                    sums.weight[n][c] = __fmaf_rn(w, scale.inverse, sums.weight[n][c]);
                    weight[c] = w * scale.rest;
                }
                const uint32_t halves = pack_halves(weight[0], weight[1]);
                if constexpr (Shape::kCoded) {
                    const float2 rounded = unpack_halves(halves);
                    sums.zero[n][0] = __fmaf_rn(rounded.x, zero, sums.zero[n][0]);
                    sums.zero[n][1] = __fmaf_rn(rounded.y, zero, sums.zero[n][1]);
                }
                b[n][r] = transpose_tile(halves);
            }
        }
    }

    // `codes`: V's, in shared memory.
    __device__ __forceinline__ void add_values(RunningSums<Shape, kGroups>& sums,
                                               uint32_t codes) const {
        const int row = threadIdx.x % 8 + threadIdx.x % 32 / 16 * 8, half = threadIdx.x / 8 % 2;
#pragma unroll
        for (int sub = 0; sub < kSubtiles; ++sub) {
            uint32_t b[kGroups][2];
            make_weights(sums, sub, b);
#pragma unroll
            for (int block = 0; block < Shape::kBlocks; ++block) {
                const int piece = swizzled_piece(row, 2 * block + half, Shape::kRowBytes);
                uint32_t packed[4], a[Shape::kPlanes][4];
                load_tiles_transposed(packed,
                                      codes + (16 * sub + row) * Shape::kRowBytes + 16 * piece);
                unpack_block<Shape>(packed, constants.base, constants.v_low, constants.v_high, a);
#pragma unroll
                for (int p = 0; p < Shape::kPlanes; ++p) {
#pragma unroll
                    for (int n = 0; n < kGroups; ++n) {
                        add_tile(sums.out[block * Shape::kPlanes + p][n], a[p], b[n][0], b[n][1]);
                    }
                }
            }
        }
    }
};

// Adds the positions first_position .. + 63, which lie in shared memory at `tile`, to the sums. No
// query of the warp sees positions after `last`; what the tile holds there is not used. `masked`:
// the tile may hold positions that some query does not see. `own`: of all queries' sequence.
template <typename Shape, int kGroups, bool kShared>
__device__ __forceinline__ void attend_tile(RunningSums<Shape, kGroups>& sums,
                                            const Queries<Shape, kGroups, kShared>& queries,
                                            const TileConstants& constants, const std::byte* tile,
                                            int first_position, int last, bool masked,
                                            const OwnKeys<Shape>& own) {
    const uint32_t codes = shared_address(tile);
    TileStep<Shape, kGroups, kShared> step{queries, constants, {codes}, first_position, last, own};
    step.find_scores(codes, masked);
    step.raise_maximum(sums);
    step.add_values(sums, codes + Shape::kPartBytes);
}

}  // namespace quarot::kernels::cuda
