// Eight lanes own one head of one token, a query head, K head or V head; of head sizes that no
// register kernel takes, a warp.
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <limits>

#include "core/checked_math.h"
#include "kernels/cuda/device/griddep.cuh"
#include "kernels/cuda/kv_append.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/row_quantizer.cuh"

namespace quarot::kernels::cuda {

namespace {

constexpr int kWarps = 4;
constexpr int kThreads = 32 * kWarps;
constexpr int kLanes = 32;

enum class HeadKind { Query, Key, Value };

struct Head {
    HeadKind kind = HeadKind::Query;
    int64_t token = 0;
    int index = 0;  // among the heads of its kind
    int position = -1;
};

// How many heads of each kind a token has, and how many of one kind a warp takes.
struct HeadCounts {
    int q = 0;
    int kv = 0;
    int per_warp = 1;

    QUAROT_HOST_DEVICE int of(HeadKind kind) const { return kind == HeadKind::Query ? q : kv; }
    QUAROT_HOST_DEVICE unsigned warps(HeadKind kind) const {
        return static_cast<unsigned>((of(kind) + per_warp - 1) / per_warp);
    }
    QUAROT_HOST_DEVICE unsigned warps(bool stores) const {
        return warps(HeadKind::Query) + (stores ? 2 : 1) * warps(HeadKind::Key);
    }
};

// The head of the calling warp, or the first of its heads; false if there is none, or only padding.
__device__ bool find_head(const AppendCall& call, const HeadCounts& heads, Head& head) {
    const unsigned item = blockIdx.x * kWarps + threadIdx.x / kLanes;
    const unsigned of_token = heads.warps(call.kv.memory != nullptr);
    head.token = item / of_token;
    if (head.token >= call.batch.n_tokens) return false;
    head.position = call.batch.positions[head.token];
    unsigned warp = item % of_token;
    for (const HeadKind kind : {HeadKind::Query, HeadKind::Key}) {
        if (warp < heads.warps(kind)) break;
        warp -= heads.warps(kind);
        head.kind = kind == HeadKind::Query ? HeadKind::Key : HeadKind::Value;
    }
    head.index = static_cast<int>(warp) * heads.per_warp;
    return head.position >= 0;
}

__device__ const RowsView& rows_of(const AppendCall& call, HeadKind kind) {
    return kind == HeadKind::Query ? call.q : kind == HeadKind::Key ? call.k : call.v;
}

// Whether the head goes into the cache as it is: not queries, nor keys by channel, whose blocks a
// kernel of their own completes.
__device__ bool is_stored(const AppendCall& call, HeadKind kind) {
    const bool by_channel = kind == HeadKind::Key && call.kv.k.by_channel();
    return kind != HeadKind::Query && call.kv.memory != nullptr && !by_channel;
}

// Where the head's vector goes.
struct StoredAt {
    std::byte* tile;
    int slot;
};

__device__ StoredAt stored_at(const AppendCall& call, const Head& head) {
    const KvView& kv = call.kv;
    const int64_t sequence = call.batch.sequence_of_token[head.token];
    const int64_t page = call.batch.page(sequence, head.position / kv.page_tokens);
    const int slot = head.position % kv.page_tokens;
    return {kv.memory + kv.tile_at(call.layer, page, head.index, slot), slot % kv.tile_tokens};
}

// ---------------------------------------------------------------- quantizing

// Scale and zero point of a vector, as Affine of tensor/affine.h.
struct KvAffine {
    RoundedDivision divide;
    int zero = 0;
    bool finite = true;
};

// `lo`, `hi`: smallest and largest value, `finite`: all values are. Every operation rounds as
// asymmetric_affine does on the host; none may be fused.
__device__ KvAffine affine_of(float lo, float hi, bool finite, const KvPart& part) {
    KvAffine affine;
    affine.finite = false;
    if (!finite) return affine;
    if (part.range_includes_zero) {
        lo = fminf(lo, 0.0f);
        hi = fmaxf(hi, 0.0f);
    }
    const float largest = fmaxf(fabsf(lo), fabsf(hi));
    lo = __fmul_rn(lo, part.clip);
    hi = __fmul_rn(hi, part.clip);
    if (lo == hi) {
        lo = fminf(lo, 0.0f);
        hi = fmaxf(hi, 0.0f);
    }
    if (lo == 0.0f && hi == 0.0f) {
        lo = -1.0f;
        hi = 1.0f;
    }
    constexpr float kSmallestNormal = 1.17549435e-38f, kZeroLimit = 32000.0f;
    const auto largest_code = static_cast<float>((1 << part.bits) - 1);
    float scale = fmaxf(__fdiv_rn(__fsub_rn(hi, lo), largest_code), kSmallestNormal);
    scale = fmaxf(scale, __fdiv_rn(fabsf(lo), kZeroLimit));
    if (part.half_scales) scale = __half2float(__float2half_rn(fmaxf(scale, 0x1p-14f)));
    if (!isfinite(scale)) return affine;
    return {division_by(scale, largest), static_cast<int>(rintf(__fdiv_rn(-lo, scale))), true};
}

// 0 .. 2^bits - 1, from the rounded quotient.
__device__ __forceinline__ float stored_code(float quotient, const KvAffine& affine, int bits) {
    const float code = __fadd_rn(quotient, static_cast<float>(affine.zero));
    return fminf(fmaxf(code, 0.0f), static_cast<float>((1 << bits) - 1));
}

__device__ KvAffine affine_of_warp(float lo, float hi, bool finite, const KvPart& part) {
#pragma unroll
    for (int distance = 1; distance < kLanes; distance *= 2) {
        lo = fminf(lo, __shfl_xor_sync(~0u, lo, distance));
        hi = fmaxf(hi, __shfl_xor_sync(~0u, hi, distance));
    }
    return affine_of(lo, hi, __all_sync(~0u, finite), part);
}

// Keeps scale and zero point, and says where a value was not finite. One lane calls it.
__device__ void store_affine(const AppendCall& call, const Head& head, const KvPart& part,
                             const StoredAt& at, const KvAffine& affine) {
    reinterpret_cast<float*>(at.tile + part.scales_at)[at.slot] = affine.divide.scale;
    reinterpret_cast<int16_t*>(at.tile + part.zeros_at)[at.slot] =
        static_cast<int16_t>(affine.zero);
    if (!affine.finite && call.bad_site != nullptr) {
        atomicMin(call.bad_site + head.token, call.site);
    }
}

__device__ std::byte* row_byte(const KvPart& part, const StoredAt& at, int byte) {
    const int piece = swizzled_piece(at.slot, byte / 16, part.row_bytes);
    return at.tile + part.codes_at + at.slot * part.row_bytes + 16 * piece + byte % 16;
}

// ---------------------------------------------------------------- heads in registers

// Eight lanes share a head. Lane l of them holds dimensions kRun l .. kRun l + kRun - 1 of its
// lower half and the same of its upper half, so that the pairs of RoPE lie in one lane.
constexpr int kTeam = 8;

// Four or more neighbouring words, 16 bytes at a time.
template <int kWords>
struct alignas(kWords >= 4 ? 16 : 8) Words {
    uint32_t word[kWords];
};

template <int kRun>
struct RopeFactors {
    float cosine[kRun], sine[kRun];

    __device__ RopeFactors(const RopeView& rope, int position) {
        if (rope.cos == nullptr) return;
        const int64_t at = int64_t{position} * kTeam * kRun + threadIdx.x % kTeam * kRun;
#pragma unroll
        for (int i = 0; i < kRun; i += 4) {
            *reinterpret_cast<float4*>(cosine + i) =
                __ldg(reinterpret_cast<const float4*>(rope.cos + at + i));
            *reinterpret_cast<float4*>(sine + i) =
                __ldg(reinterpret_cast<const float4*>(rope.sin + at + i));
        }
    }
};

template <int kRun>
struct HeadLane {
    static constexpr int kHalf = kTeam * kRun;
    using Halves = Words<kRun / 2>;  // of a run, two a word
    float x[2][kRun];

    static __device__ int lane() { return static_cast<int>(threadIdx.x % kTeam); }

    // Calls body(value, half, i) for all values of this lane.
    template <typename Body>
    __device__ __forceinline__ void each(const Body& body) {
#pragma unroll
        for (int half = 0; half < 2; ++half) {
#pragma unroll
            for (int i = 0; i < kRun; ++i) body(x[half][i], half, i);
        }
    }
    template <typename Body>
    __device__ __forceinline__ void each(const Body& body) const {
#pragma unroll
        for (int half = 0; half < 2; ++half) {
#pragma unroll
            for (int i = 0; i < kRun; ++i) body(x[half][i], half, i);
        }
    }

    // `at`: of the head's first value.
    __device__ void load(const RowsView& rows, int64_t at) {
        at += lane() * kRun;
        if (rows.dtype == DType::F32) {
            const auto* from = static_cast<const float*>(rows.data) + at;
#pragma unroll
            for (int i = 0; i < 2 * kRun; i += 4) {
                *reinterpret_cast<float4*>(&x[i / kRun][i % kRun]) =
                    *reinterpret_cast<const float4*>(from + i / kRun * kHalf + i % kRun);
            }
            return;
        }
        const auto* from = static_cast<const uint16_t*>(rows.data) + at;
        const Halves halves[2] = {*reinterpret_cast<const Halves*>(from),
                                  *reinterpret_cast<const Halves*>(from + kHalf)};
        const bool bfloat = rows.dtype == DType::BF16;
        each([&](float& value, int half, int i) {
            const uint32_t word = halves[half].word[i / 2] >> (i % 2 * 16);
            const auto bits = static_cast<uint16_t>(word);
            value = bfloat ? __uint_as_float(word << 16)
                           : __half2float(*reinterpret_cast<const __half*>(&bits));
        });
    }

    __device__ void store(const RowsView& rows, int64_t at) const {
        at += lane() * kRun;
        if (rows.dtype == DType::F32) {
            auto* to = static_cast<float*>(rows.data) + at;
#pragma unroll
            for (int i = 0; i < 2 * kRun; i += 4) {
                *reinterpret_cast<float4*>(to + i / kRun * kHalf + i % kRun) =
                    *reinterpret_cast<const float4*>(&x[i / kRun][i % kRun]);
            }
            return;
        }
        auto* to = static_cast<uint16_t*>(rows.data) + at;
        const bool half_type = rows.dtype == DType::F16;
        *reinterpret_cast<Halves*>(to) = half_type ? halves(0) : bfloats(0);
        *reinterpret_cast<Halves*>(to + kHalf) = half_type ? halves(1) : bfloats(1);
    }

    // Pairs are (i, i + head_dim / 2).
    __device__ void rotate(const RopeFactors<kRun>& rope) {
#pragma unroll
        for (int i = 0; i < kRun; ++i) {
            const float a = x[0][i], b = x[1][i], c = rope.cosine[i], s = rope.sine[i];
            x[0][i] = __fmaf_rn(a, c, -__fmul_rn(b, s));
            x[1][i] = __fmaf_rn(b, c, __fmul_rn(a, s));
        }
    }

    // Sylvester's transform times `factor`, index bits in ascending order.
    __device__ void transform(float factor) {
#pragma unroll
        for (int distance = 1; distance < kRun; distance *= 2) {
            each([&](float& value, int half, int i) {
                if (i & distance) return;
                const float a = value, b = x[half][i + distance];
                value = a + b;
                x[half][i + distance] = a - b;
            });
        }
#pragma unroll
        for (int distance = 1; distance < kTeam; distance *= 2) {
            const float sign = threadIdx.x & distance ? -1.0f : 1.0f;
            each([&](float& value, int, int) {
                value = __fmaf_rn(value, sign, __shfl_xor_sync(~0u, value, distance));
            });
        }
#pragma unroll
        for (int i = 0; i < kRun; ++i) {
            const float a = x[0][i], b = x[1][i];
            x[0][i] = (a + b) * factor;
            x[1][i] = (a - b) * factor;
        }
    }

    __device__ KvAffine affine(const KvPart& part) const {
        float lo = x[0][0], hi = x[0][0], zero = 0.0f;
        each([&](float value, int, int) {
            lo = fminf(lo, value);
            hi = fmaxf(hi, value);
            zero = __fmaf_rn(value, 0.0f, zero);  // NaN, unless all are finite
        });
#pragma unroll
        for (int distance = 1; distance < kTeam; distance *= 2) {
            lo = fminf(lo, __shfl_xor_sync(~0u, lo, distance));
            hi = fmaxf(hi, __shfl_xor_sync(~0u, hi, distance));
        }
        const uint32_t team = 0xffu << (threadIdx.x % kLanes / kTeam * kTeam);
        return affine_of(lo, hi, (__ballot_sync(~0u, zero == 0.0f) & team) == team, part);
    }

    // Codes of values i and i + 1 of both halves, a byte each, lower half first.
    __device__ __forceinline__ uint32_t codes(const KvAffine& affine, int bits, int i) const {
        const float values[4] = {x[0][i], x[1][i], x[0][i + 1], x[1][i + 1]};
        float quotients[4], from_tie = 1.0f;
#pragma unroll
        for (int j = 0; j < 4; ++j) quotients[j] = affine.divide.near(values[j], from_tie);
        if (!affine.divide.sure(from_tie)) {
#pragma unroll
            for (int j = 0; j < 4; ++j) quotients[j] = affine.divide.exact(values[j]);
        }
        uint32_t code[4];
#pragma unroll
        for (int j = 0; j < 4; ++j) code[j] = bits_of_code(stored_code(quotients[j], affine, bits));
        return affine.finite ? pack_codes(code[0], code[1], code[2], code[3]) : 0;
    }

    // Nothing unless `present`.
    __device__ void store_codes(const KvPart& part, const StoredAt& at, const KvAffine& affine,
                                bool present) const {
        Halves units;
#pragma unroll
        for (int i = 0; i < kRun; i += 2) units.word[i / 2] = codes(affine, part.bits, i);
        if (part.container == KvContainer::Byte) {
            if (present) store_words(units, part, at, 2 * kRun * lane());
            return;
        }
        // Planes 0 and 2 are in the lower four lanes, 1 and 3 in the upper.
        const int shift = lane() / 4 * 4;
#pragma unroll
        for (uint32_t& word : units.word) {
            word <<= shift;
            word |= __shfl_xor_sync(~0u, word, 4);
        }
        if (present && lane() < 4) store_words(units, part, at, 2 * kRun * lane());
    }

    __device__ void store_values(const KvPart& part, const StoredAt& at) const {
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const int first = half * kHalf + lane() * kRun;
            if (part.container == KvContainer::Half) {
                store_words(halves(half), part, at, 2 * first);
                continue;
            }
            Words<kRun> floats;
#pragma unroll
            for (int i = 0; i < kRun; ++i) floats.word[i] = __float_as_uint(x[half][i]);
            store_words(floats, part, at, 4 * first);
        }
    }

  private:
    __device__ Halves halves(int half) const {
        return packed(half, [](float a, float b) {
            const __half2 pair = __floats2half2_rn(a, b);
            return *reinterpret_cast<const uint32_t*>(&pair);
        });
    }
    __device__ Halves bfloats(int half) const {
        return packed(half, [](float a, float b) {
            const __nv_bfloat162 pair = __floats2bfloat162_rn(a, b);
            return *reinterpret_cast<const uint32_t*>(&pair);
        });
    }
    template <typename Pack>
    __device__ __forceinline__ Halves packed(int half, const Pack& pack) const {
        Halves words;
#pragma unroll
        for (int i = 0; i < kRun; i += 2) {
            words.word[i / 2] = pack(x[half][i], x[half][i + 1]);
        }
        return words;
    }

    // From byte `first` of the row on, which its pieces of 16 bytes do not divide.
    template <int kWords>
    static __device__ __forceinline__ void store_words(const Words<kWords>& words,
                                                       const KvPart& part, const StoredAt& at,
                                                       int first) {
        constexpr int kPiece = kWords < 4 ? kWords : 4;
        using Piece = Words<kPiece>;
#pragma unroll
        for (int i = 0; i < kWords; i += kPiece) {
            *reinterpret_cast<Piece*>(row_byte(part, at, first + 4 * i)) =
                *reinterpret_cast<const Piece*>(words.word + i);
        }
    }
};

// What becomes of a head, in registers; not `real`: of zeros. Nothing is stored of it unless
// `present`.
template <int kRun>
__device__ __forceinline__ void append_head(const AppendCall& call, const Head& head,
                                            const StoredAt& at, const RopeFactors<kRun>& rope,
                                            bool real, bool present) {
    const RowsView& rows = rows_of(call, head.kind);
    const int64_t column = head.token * rows.stride + int64_t{head.index} * 2 * kTeam * kRun;
    HeadLane<kRun> lane = {};
    if (real) lane.load(rows, column);
    if (head.kind != HeadKind::Value) {
        if (call.rope.cos != nullptr) lane.rotate(rope);
        if (call.transform.dense_order > 0) lane.transform(call.transform.factor);
    }
    if (at.tile == nullptr) {
        if (present) lane.store(rows, column);
        return;
    }
    const KvPart& part = head.kind == HeadKind::Key ? call.kv.k : call.kv.v;
    if (!is_coded(part.container)) {
        if (present) lane.store_values(part, at);
        return;
    }
    const KvAffine affine = lane.affine(part);
    lane.store_codes(part, at, affine, present);
    if (present && lane.lane() == 0) store_affine(call, head, part, at, affine);
}

// A warp takes four heads at a time; where fewer are left, the last again, without storing it.
template <int kRun>
__global__ void __launch_bounds__(kThreads)
    append_kernel(const __grid_constant__ AppendCall call, HeadCounts counts) {
    let_successor_start();
    // Positions, pages and RoPE are there since before the step.
    Head head;
    if (!find_head(call, counts, head)) return wait_for_predecessor();
    const RopeFactors<kRun> rope(call.rope, head.position);
    const bool stored = is_stored(call, head.kind);
    StoredAt first_at = {};
    if (stored) first_at = stored_at(call, head);
    const int first = head.index, end = min(first + counts.per_warp, counts.of(head.kind));
    const int64_t head_bytes = call.kv.tiles_per_page() * call.kv.tile_bytes;
    const int team = static_cast<int>(threadIdx.x % kLanes) / kTeam;
    constexpr int kTeams = kLanes / kTeam;
    bool real = first_turn(call.batch.n_tokens) == 1;
    if (real) wait_for_predecessor();
#pragma unroll 1
    for (int next = real ? first + team : first + team - kTeams; next - team < end;
         next += kTeams) {
        head.index = min(max(next, first), end - 1);
        StoredAt at = first_at;
        if (stored) at.tile += (head.index - first) * head_bytes;
        append_head(call, head, at, rope, real, real && next < end);
        if (!real) wait_for_predecessor();
        real = true;
    }
}

// ---------------------------------------------------------------- heads of any other size

// The vector of a warp, in shared memory.
struct SharedHead {
    float* x;        // [head_dim]
    float* scratch;  // [head_dim]
    int head_dim;

    template <typename Each>
    __device__ void each(int count, const Each& body) const {
        for (int i = threadIdx.x % kLanes; i < count; i += kLanes) body(i);
        __syncwarp();
    }

    __device__ void load(const RowsView& rows, int64_t at) const {
        each(head_dim, [&](int i) {
            if (rows.dtype == DType::F32) {
                x[i] = static_cast<const float*>(rows.data)[at + i];
            } else if (rows.dtype == DType::F16) {
                x[i] = __half2float(static_cast<const __half*>(rows.data)[at + i]);
            } else {
                x[i] = __bfloat162float(static_cast<const __nv_bfloat16*>(rows.data)[at + i]);
            }
        });
    }

    __device__ void store(const RowsView& rows, int64_t at) const {
        each(head_dim, [&](int i) {
            if (rows.dtype == DType::F32) {
                static_cast<float*>(rows.data)[at + i] = x[i];
            } else if (rows.dtype == DType::F16) {
                static_cast<__half*>(rows.data)[at + i] = __float2half_rn(x[i]);
            } else {
                static_cast<__nv_bfloat16*>(rows.data)[at + i] = __float2bfloat16_rn(x[i]);
            }
        });
    }

    __device__ void rotate(const RopeView& rope, int position) const {
        const int half = head_dim / 2;
        each(half, [&](int i) {
            const float c = rope.cos[int64_t{position} * half + i];
            const float s = rope.sin[int64_t{position} * half + i];
            const float a = x[i], b = x[i + half];
            x[i] = a * c - b * s;
            x[i + half] = b * c + a * s;
        });
    }

    __device__ void transform(const HeadTransform& transform) {
        const int order = head_dim / transform.dense_order;
        for (int distance = 1; distance < order; distance *= 2) {
            each(head_dim / 2, [&](int i) {
                const int at = i / distance * 2 * distance + i % distance;
                const float a = x[at], b = x[at + distance];
                x[at] = a + b;
                x[at + distance] = a - b;
            });
        }
        if (transform.dense_order > 1) {
            each(head_dim, [&](int i) {
                const float* column = transform.dense + i / order;
                float sum = 0.0f;
                for (int k = 0; k < transform.dense_order; ++k) {
                    const float factor = column[k * transform.dense_stride];
                    sum = __fmaf_rn(factor, x[k * order + i % order], sum);
                }
                scratch[i] = sum;
            });
            float* const results = scratch;
            scratch = x;
            x = results;
        }
        each(head_dim, [&](int i) { x[i] *= transform.factor; });
    }

    __device__ KvAffine affine(const KvPart& part) const {
        float lo = INFINITY, hi = -INFINITY;
        bool finite = true;
        each(head_dim, [&](int i) {
            lo = fminf(lo, x[i]);
            hi = fmaxf(hi, x[i]);
            finite &= isfinite(x[i]);
        });
        return affine_of_warp(lo, hi, finite, part);
    }

    __device__ void store_codes(const KvPart& part, const StoredAt& at,
                                const KvAffine& affine) const {
        const auto code = [&](int dim) -> uint32_t {
            if (dim >= head_dim || !affine.finite) return 0;
            return static_cast<uint32_t>(stored_code(affine.divide(x[dim]), affine, part.bits));
        };
        each(part.row_bytes, [&](int byte) {
            const int unit = byte / 2, half = byte % 2;
            uint32_t value = 0;
            if (part.container == KvContainer::Byte) {
                value = code(half * part.units + unit);
            } else {
                value = code(2 * half * part.units + unit) |
                        code((2 * half + 1) * part.units + unit) << 4;
            }
            *row_byte(part, at, byte) = static_cast<std::byte>(value);
        });
    }

    __device__ void store_values(const KvPart& part, const StoredAt& at) const {
        each(head_dim, [&](int i) {
            if (part.container == KvContainer::Float) {
                *reinterpret_cast<float*>(row_byte(part, at, 4 * i)) = x[i];
            } else {
                *reinterpret_cast<__half*>(row_byte(part, at, 2 * i)) = __float2half_rn(x[i]);
            }
        });
    }
};

__global__ void __launch_bounds__(kThreads)
    append_general_kernel(const __grid_constant__ AppendCall call, HeadCounts counts) {
    __shared__ float shared[kWarps][2][kMaxHeadDim];
    let_successor_start();
    wait_for_predecessor();
    Head head;
    if (!find_head(call, counts, head)) return;
    const RowsView& rows = rows_of(call, head.kind);
    const int64_t column = head.token * rows.stride + head.index * call.head_dim;
    const int warp = threadIdx.x / kLanes;
    SharedHead vector{shared[warp][0], shared[warp][1], static_cast<int>(call.head_dim)};
    vector.load(rows, column);
    if (head.kind != HeadKind::Value) {
        if (call.rope.cos != nullptr) vector.rotate(call.rope, head.position);
        if (call.transform.dense_order > 0) vector.transform(call.transform);
    }
    if (!is_stored(call, head.kind)) {
        vector.store(rows, column);
        return;
    }
    const KvPart& part = head.kind == HeadKind::Key ? call.kv.k : call.kv.v;
    const StoredAt at = stored_at(call, head);
    if (!is_coded(part.container)) {
        vector.store_values(part, at);
        return;
    }
    const KvAffine affine = vector.affine(part);
    vector.store_codes(part, at, affine);
    if (threadIdx.x % kLanes == 0) store_affine(call, head, part, at, affine);
}

void check_call(const AppendCall& call, int64_t n_q, int64_t n_kv) {
    const int64_t head_dim = call.head_dim;
    require(head_dim > 0 && head_dim <= kMaxHeadDim, "append: head size");
    require(call.rope.cos == nullptr || head_dim % 2 == 0, "append: head size of RoPE");
    require(call.k.cols == n_kv * head_dim && call.k.rows == call.batch.n_tokens,
            "append: shape of k");
    if (call.q.data != nullptr) {
        require(call.q.cols == n_q * head_dim && call.q.rows == call.batch.n_tokens,
                "append: shape of q");
    }
    const int order = call.transform.dense_order;
    require(order == 0 || head_dim % order == 0, "append: order of the transform");
    if (call.kv.memory == nullptr) return;
    require(call.v.cols == call.k.cols && call.v.rows == call.k.rows, "append: shape of v");
    require(call.kv.head_dim == head_dim && call.kv.n_kv_heads == n_kv, "append: shape of cache");
    require(call.layer >= 0 && call.layer < call.kv.n_layers, "append: layer");
}

using AppendKernel = void (*)(AppendCall, HeadCounts);

// Rows and tables are read and written 16 bytes at a time.
bool is_aligned(const AppendCall& call) {
    const auto are_rows = [](const RowsView& rows) {
        return reinterpret_cast<uintptr_t>(rows.data) % 16 == 0 &&
               rows.stride * size_of(rows.dtype) % 16 == 0;
    };
    const auto is_table = [](const float* table) {
        return reinterpret_cast<uintptr_t>(table) % 16 == 0;
    };
    return are_rows(call.q) && are_rows(call.k) && are_rows(call.v) && is_table(call.rope.cos) &&
           is_table(call.rope.sin);
}

AppendKernel kernel_of(const AppendCall& call, HeadCounts& counts) {
    // Few tokens spread over the device.
    constexpr int64_t kManyTokens = 512;
    counts.per_warp = call.batch.n_tokens >= kManyTokens ? 8 : 4;
    if (call.transform.dense_order <= 1 && is_aligned(call)) {
        if (call.head_dim == 64) return append_kernel<4>;
        if (call.head_dim == 128) return append_kernel<8>;
        if (call.head_dim == 256) return append_kernel<16>;
    }
    counts.per_warp = 1;
    return append_general_kernel;
}

}  // namespace

void append(const AppendCall& call, Stream stream) {
    if (call.batch.n_tokens == 0) return;
    require(call.head_dim > 0, "append: head size");
    HeadCounts counts;
    counts.q = call.q.data != nullptr ? static_cast<int>(call.q.cols / call.head_dim) : 0;
    counts.kv = static_cast<int>(call.k.cols / call.head_dim);
    check_call(call, counts.q, counts.kv);
    const AppendKernel kernel = kernel_of(call, counts);
    const int64_t warps = call.batch.n_tokens * counts.warps(call.kv.memory != nullptr);
    require(warps <= std::numeric_limits<int32_t>::max(), "append: heads of all tokens");
    const LaunchShape shape{.grid = dim3(static_cast<unsigned>(ceil_div(warps, kWarps))),
                            .block = dim3(kThreads)};
    launch("append_kernel", kernel, shape, stream, call, counts);
    if (call.kv.memory != nullptr && call.kv.k.by_channel()) append_channels(call, stream);
}

}  // namespace quarot::kernels::cuda
