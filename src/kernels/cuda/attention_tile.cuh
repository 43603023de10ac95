// What one warp does with one tile of 64 positions: scores, softmax weights and the weighted sum of
// V, on tensor cores. Every fast attention kernel is a loop around attend_tile, so their sums agree
// bit for bit.
//
// Both products have positions or dimensions on the 16 rows of m16n8k16 and queries on its 8
// columns: S^T = K q^T and O^T = V^T P^T. A warp holds kGroups groups of 8 queries. Lane 4 g + t
// has, of a result tile, rows g and g + 8 (elements 0, 1 and 2, 3) and columns 2t and 2t + 1.
//
// Codes enter as halves code - 2^(bits-1), which is exact; scales and zero points act outside the
// products:
//   score_j = (q . code_j - zero_j sum(q)) scale_j        (K's, of position j)
//   out     = sum_j W_j code_j - sum_j W_j zero_j         (V's), W_j = half(weight_j scale_j)
// The running maximum is taken over score + log2 of the power of two in V's scale, so that W keeps
// its precision whatever V's scales are, and rounded up to a whole number.
#pragma once

#include <cstdint>

#include "kernels/cuda/attention_kernels.cuh"
#include "kernels/cuda/device/fragments.cuh"
#include "kernels/cuda/device/half_mma.cuh"
#include "kernels/cuda/kv_view.h"
#include "tensor/dtype.h"

namespace quarot::kernels::cuda {

inline constexpr float kLog2E = 1.44269504088896340736f;
// Weights are at most 2 times this in the second product, inside the range of halves.
inline constexpr float kWeightFactor = 16384.0f;  // 2^14

template <int kDim, KvContainer kKept>
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
    static constexpr int kPartBytes = kCoded ? kZerosAt + 2 * kTileTokens : kScalesAt;
    static constexpr int kTileBytes = 2 * kPartBytes;
};

// The shapes that tensor cores serve; `then` takes a value of the shape's type.
template <typename Then>
void with_tile_shape(const KvView& kv, const Then& then) {
    const auto with_container = [&]<int kDim>() {
        if (kv.k.container == KvContainer::Nibble) then(TileShape<kDim, KvContainer::Nibble>());
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
    const uint32_t k_center = 1u << (call.kv.k.bits - 1), v_center = 1u << (call.kv.v.bits - 1);
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

template <typename Shape, int kGroups>
struct Queries {
    uint32_t b[Shape::kSteps][kGroups][2];  // operand B of the first product
    const QueryColumn* columns;             // [8 * kGroups]
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
template <typename Shape, int kGroups, typename Place>
__device__ void load_queries(Queries<Shape, kGroups>& queries, QueryColumn* columns,
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
                queries.b[step][n][half] = halves;
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

template <typename Shape, int kGroups>
struct RunningSums {
    float out[Shape::kSteps][kGroups]
             [4];  // tile i: dimensions of block i / planes, plane i % planes
    // Of columns 2t and 2t + 1; sums over the positions of this lane's rows.
    float maximum[kGroups][2];  // a whole number, or -inf
    float weight[kGroups][2];
    float zero[kGroups][2];  // sum of W times zero point

    __device__ void clear() {
#pragma unroll
        for (int n = 0; n < kGroups; ++n) {
#pragma unroll
            for (int i = 0; i < Shape::kSteps; ++i) {
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
            for (int i = 0; i < Shape::kSteps; ++i) {
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

__device__ __forceinline__ float load_shared_float(uint32_t address) {
    float value;
    asm volatile("ld.shared.f32 %0, [%1];" : "=f"(value) : "r"(address) : "memory");
    return value;
}

__device__ __forceinline__ float load_shared_short(uint32_t address) {
    short value;
    asm volatile("ld.shared.s16 %0, [%1];" : "=h"(value) : "r"(address) : "memory");
    return static_cast<float>(value);
}

// ---------------------------------------------------------------- the tile

// Scale of V at a position as 2^exponent times a rest; `rest` is it times kWeightFactor.
struct ValueScale {
    float exponent = 0.0f;
    float inverse = 1.0f;  // 2^-exponent
    float rest = kWeightFactor;
};

__device__ __forceinline__ ValueScale split_scale(float scale) {
    // Scales below 2^-100 are not told from 0.
    const uint32_t exponent = max(__float_as_uint(scale) & 0x7f800000u, 27u << 23);
    constexpr uint32_t kOne = 127u << 23, kFactor = 14u << 23;
    const float to_rest = __uint_as_float(2 * kOne + kFactor - exponent);
    return {static_cast<float>(static_cast<int>(exponent >> 23) - 127),
            __uint_as_float(2 * kOne - exponent), scale * to_rest};
}

// cap * tanh(x / cap), both in powers of two.
__device__ __forceinline__ float cap_score(float x, const TileConstants& constants) {
    const float e = exp2_approximate(x * constants.cap_factor);
    return constants.score_cap * (1.0f - __fdividef(2.0f, 1.0f + e));
}

// Adds the positions first_position .. + 63, which lie in shared memory at `tile`, to the sums. No
// query of the warp sees positions after `last`; what the tile holds there is not used. `masked`:
// the tile may hold positions that some query does not see.
template <typename Shape, int kGroups>
__device__ __forceinline__ void attend_tile(RunningSums<Shape, kGroups>& sums,
                                            const Queries<Shape, kGroups>& queries,
                                            const TileConstants& constants, uint32_t tile,
                                            int first_position, int last, bool masked) {
    constexpr int kPlanes = Shape::kPlanes, kBlocks = Shape::kBlocks;
    constexpr int kSubtiles = kTileTokens / 16;
    const int lane = threadIdx.x % 32, g = lane / 4;
    const uint32_t k_tile = tile, v_tile = tile + Shape::kPartBytes;
    const QueryColumn* columns = queries.columns + 2 * (lane % 4);  // 8 n + c: this lane's

    // Scores of 16 positions at a time.
    float score[kSubtiles][kGroups][4];
#pragma unroll
    for (int sub = 0; sub < kSubtiles; ++sub) {
#pragma unroll
        for (int n = 0; n < kGroups; ++n) {
#pragma unroll
            for (int e = 0; e < 4; ++e) score[sub][n][e] = 0.0f;
        }
#pragma unroll
        for (int block = 0; block < kBlocks; ++block) {
            const int row = lane % 16;
            const int piece = swizzled_piece(row, 2 * block + lane / 16, Shape::kRowBytes);
            uint32_t packed[4];
            load_tiles(packed, k_tile + (16 * sub + row) * Shape::kRowBytes + 16 * piece);
            uint32_t a[kPlanes][4];
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                uint32_t planes[kPlanes];
                unpack<Shape::kContainer>(packed[i], constants.base, constants.k_low,
                                          constants.k_high, planes);
#pragma unroll
                for (int p = 0; p < kPlanes; ++p) a[p][i] = planes[p];
            }
#pragma unroll
            for (int p = 0; p < kPlanes; ++p) {
#pragma unroll
                for (int n = 0; n < kGroups; ++n) {
                    const uint32_t(&b)[2] = queries.b[block * kPlanes + p][n];
                    add_tile(score[sub][n], a[p], b[0], b[1]);
                }
            }
        }
    }

    // Scales and zero points of K.
    if constexpr (Shape::kCoded) {
        float query_sum[kGroups][2];
#pragma unroll
        for (int n = 0; n < kGroups; ++n) {
#pragma unroll
            for (int c = 0; c < 2; ++c) query_sum[n][c] = columns[8 * n + c].sum;
        }
#pragma unroll
        for (int i = 0; i < 2 * kSubtiles; ++i) {
            const int sub = i / 2, r = i % 2, token = 16 * sub + g + 8 * r;
            const float k_scale = load_shared_float(k_tile + Shape::kScalesAt + 4 * token);
            const float k_zero =
                load_shared_short(k_tile + Shape::kZerosAt + 2 * token) - constants.k_center;
#pragma unroll
            for (int n = 0; n < kGroups; ++n) {
#pragma unroll
                for (int c = 0; c < 2; ++c) {
                    float& x = score[sub][n][2 * r + c];
                    x = __fmaf_rn(-k_zero, query_sum[n][c], x) * k_scale;
                }
            }
        }
    }
    float factor[kGroups][2];
#pragma unroll
    for (int n = 0; n < kGroups; ++n) {
#pragma unroll
        for (int c = 0; c < 2; ++c) factor[n][c] = columns[8 * n + c].factor;
    }
    if (constants.score_cap > 0.0f) {
#pragma unroll
        for (int sub = 0; sub < kSubtiles; ++sub) {
#pragma unroll
            for (int n = 0; n < kGroups; ++n) {
#pragma unroll
                for (int e = 0; e < 4; ++e) {
                    float& x = score[sub][n][e];
                    x = cap_score(x * factor[n][e % 2], constants);
                }
            }
        }
#pragma unroll
        for (int n = 0; n < kGroups; ++n) factor[n][0] = factor[n][1] = 1.0f;
    }

    // Exponents of V's scales, the mask, the largest score of each query.
#pragma unroll
    for (int i = 0; i < 2 * kSubtiles; ++i) {
        const int sub = i / 2, r = i % 2, token = 16 * sub + g + 8 * r;
        float exponent = 0.0f;
        if constexpr (Shape::kCoded) {
            exponent =
                split_scale(load_shared_float(v_tile + Shape::kScalesAt + 4 * token)).exponent;
        }
#pragma unroll
        for (int n = 0; n < kGroups; ++n) {
#pragma unroll
            for (int c = 0; c < 2; ++c) {
                float& x = score[sub][n][2 * r + c];
                x = __fmaf_rn(x, factor[n][c], exponent);
            }
        }
    }
    if (masked) {
#pragma unroll
        for (int i = 0; i < 2 * kSubtiles; ++i) {
            const int sub = i / 2, r = i % 2, position = first_position + 16 * sub + g + 8 * r;
#pragma unroll
            for (int n = 0; n < kGroups; ++n) {
#pragma unroll
                for (int c = 0; c < 2; ++c) {
                    const int newest = columns[8 * n + c].position;
                    const bool seen = position <= newest && position > newest - constants.window;
                    if (!seen) score[sub][n][2 * r + c] = -INFINITY;
                }
            }
        }
    }
    float largest[kGroups][2];
#pragma unroll
    for (int n = 0; n < kGroups; ++n) {
#pragma unroll
        for (int c = 0; c < 2; ++c) {
            largest[n][c] = fmaxf(score[0][n][c], score[0][n][2 + c]);
#pragma unroll
            for (int sub = 1; sub < kSubtiles; ++sub) {
                largest[n][c] = fmaxf(largest[n][c], fmaxf(score[sub][n][c], score[sub][n][2 + c]));
            }
        }
    }

    // The new maximum; older sums are scaled down to it.
    float offset[kGroups][2];
#pragma unroll
    for (int n = 0; n < kGroups; ++n) {
        bool rescale = false;
        float older[2];
#pragma unroll
        for (int c = 0; c < 2; ++c) {
#pragma unroll
            for (int distance = 4; distance < 32; distance *= 2) {
                largest[n][c] = fmaxf(largest[n][c], __shfl_xor_sync(~0u, largest[n][c], distance));
            }
            const float maximum = fmaxf(sums.maximum[n][c], ceilf(largest[n][c]));
            older[c] = power_of_two(sums.maximum[n][c] - maximum);
            rescale |= maximum > sums.maximum[n][c];
            sums.maximum[n][c] = maximum;
            offset[n][c] = maximum == -INFINITY ? 0.0f : maximum;
        }
        if (__any_sync(~0u, rescale)) {
#pragma unroll
            for (int c = 0; c < 2; ++c) {
                sums.weight[n][c] *= older[c];
                sums.zero[n][c] *= older[c];
            }
#pragma unroll
            for (int i = 0; i < Shape::kSteps; ++i) {
#pragma unroll
                for (int e = 0; e < 4; ++e) sums.out[i][n][e] *= older[e % 2];
            }
        }
    }

    // Weights of 16 positions, and their share of the sum of V.
#pragma unroll
    for (int sub = 0; sub < kSubtiles; ++sub) {
        uint32_t b[kGroups][2];
#pragma unroll
        for (int r = 0; r < 2; ++r) {
            const int token = 16 * sub + g + 8 * r;
            ValueScale scale;
            float zero = 0.0f;
            if constexpr (Shape::kCoded) {
                // Beyond the last position anything may lie, a NaN too.
                const bool present = first_position + token <= last;
                const float v_scale = load_shared_float(v_tile + Shape::kScalesAt + 4 * token);
                scale = split_scale(present ? v_scale : 1.0f);
                zero = load_shared_short(v_tile + Shape::kZerosAt + 2 * token) - constants.v_center;
            }
#pragma unroll
            for (int n = 0; n < kGroups; ++n) {
                float weight[2];
#pragma unroll
                for (int c = 0; c < 2; ++c) {
                    const float w = exp2_approximate(score[sub][n][2 * r + c] - offset[n][c]);
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
#pragma unroll
        for (int block = 0; block < kBlocks; ++block) {
            const int row = lane % 8 + lane / 16 * 8;
            const int piece = swizzled_piece(row, 2 * block + lane / 8 % 2, Shape::kRowBytes);
            uint32_t packed[4];
            load_tiles_transposed(packed,
                                  v_tile + (16 * sub + row) * Shape::kRowBytes + 16 * piece);
            uint32_t a[kPlanes][4];
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                uint32_t planes[kPlanes];
                unpack<Shape::kContainer>(packed[i], constants.base, constants.v_low,
                                          constants.v_high, planes);
#pragma unroll
                for (int p = 0; p < kPlanes; ++p) a[p][i] = planes[p];
            }
#pragma unroll
            for (int p = 0; p < kPlanes; ++p) {
#pragma unroll
                for (int n = 0; n < kGroups; ++n) {
                    add_tile(sums.out[block * kPlanes + p][n], a[p], b[n][0], b[n][1]);
                }
            }
        }
    }
}

}  // namespace quarot::kernels::cuda
