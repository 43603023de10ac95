// A warp owns one head of one token: a query head, a K head or a V head.
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include "kernels/cuda/device/griddep.cuh"
#include "kernels/cuda/kv_append.h"
#include "kernels/cuda/launch.cuh"

namespace quarot::kernels::cuda {

namespace {

constexpr int kWarps = 4;
constexpr int kThreads = 32 * kWarps;
constexpr int kLanes = 32;
constexpr int kMaxHeadDim = 256;

enum class HeadKind { Query, Key, Value };

// Which head a warp owns.
struct Head {
    HeadKind kind = HeadKind::Query;
    int64_t token = 0;
    int index = 0;  // among the heads of its kind
    int position = -1;
};

__device__ bool find_head(const AppendCall& call, int n_q, int n_kv, Head& head) {
    const int64_t item = int64_t{blockIdx.x} * kWarps + threadIdx.x / kLanes;
    const int n_v = call.kv.memory != nullptr ? n_kv : 0;
    const int heads = n_q + n_kv + n_v;
    head.token = item / heads;
    if (head.token >= call.batch.n_tokens) return false;
    head.position = call.batch.positions[head.token];
    head.index = static_cast<int>(item % heads);
    if (head.index >= n_q) {
        head.index -= n_q;
        head.kind = head.index < n_kv ? HeadKind::Key : HeadKind::Value;
        head.index %= n_kv;
    }
    return head.position >= 0;
}

__device__ const RowsView& rows_of(const AppendCall& call, HeadKind kind) {
    return kind == HeadKind::Query ? call.q : kind == HeadKind::Key ? call.k : call.v;
}

// Where the head's vector goes.
struct StoredAt {
    std::byte* tile;
    int slot;
};

__device__ StoredAt stored_at(const AppendCall& call, const Head& head) {
    const KvView& kv = call.kv;
    const int64_t sequence = call.batch.sequence_of_token[head.token];
    const int64_t page =
        call.batch.page_tables[sequence * call.batch.max_pages + head.position / kv.page_tokens];
    const int slot = head.position % kv.page_tokens;
    return {kv.memory + kv.tile_at(call.layer, page, head.index, slot), slot % kv.tile_tokens};
}

// ---------------------------------------------------------------- quantizing

// Scale and zero point of a vector, as Affine of tensor/affine.h.
struct KvAffine {
    float scale = 1.0f;
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
    if (!isfinite(scale)) return affine;
    return {scale, static_cast<int>(rintf(__fdiv_rn(-lo, scale))), true};
}

__device__ uint32_t code_of(float x, const KvAffine& affine, int bits) {
    if (!affine.finite) return 0;
    const float q = __fadd_rn(rintf(__fdiv_rn(x, affine.scale)), static_cast<float>(affine.zero));
    return static_cast<uint32_t>(fminf(fmaxf(q, 0.0f), static_cast<float>((1 << bits) - 1)));
}

__device__ KvAffine affine_of_warp(float lo, float hi, bool finite, const KvPart& part) {
#pragma unroll
    for (int distance = 1; distance < kLanes; distance *= 2) {
        lo = fminf(lo, __shfl_xor_sync(~0u, lo, distance));
        hi = fmaxf(hi, __shfl_xor_sync(~0u, hi, distance));
    }
    return affine_of(lo, hi, __all_sync(~0u, finite), part);
}

// One lane keeps scale and zero point, and says where a value was not finite.
__device__ void store_affine(const AppendCall& call, const Head& head, const KvPart& part,
                             const StoredAt& at, const KvAffine& affine) {
    if (threadIdx.x % kLanes != 0) return;
    reinterpret_cast<float*>(at.tile + part.scales_at)[at.slot] = affine.scale;
    reinterpret_cast<int16_t*>(at.tile + part.zeros_at)[at.slot] =
        static_cast<int16_t>(affine.zero);
    if (!affine.finite) atomicMin(call.bad_site + head.token, call.site);
}

__device__ std::byte* row_byte(const KvPart& part, const StoredAt& at, int byte) {
    const int piece = swizzled_piece(at.slot, byte / 16, part.row_bytes);
    return at.tile + part.codes_at + at.slot * part.row_bytes + 16 * piece + byte % 16;
}

// ---------------------------------------------------------------- heads in registers

// Lane l holds values kValues * l .. of a head of 32 * kValues.
template <int kValues>
struct Lane {
    float x[kValues];

    __device__ void load(const RowsView& rows, int64_t at) {
        at += threadIdx.x % kLanes * kValues;
        if (rows.dtype == DType::F32) {
            struct alignas(8) Pair {
                float x, y;
            };
#pragma unroll
            for (int i = 0; i < kValues; i += 2) {
                const Pair pair =
                    *reinterpret_cast<const Pair*>(static_cast<const float*>(rows.data) + at + i);
                x[i] = pair.x;
                x[i + 1] = pair.y;
            }
            return;
        }
        struct alignas(2 * kValues) Words {
            uint32_t word[kValues / 2];
        };
        const Words words =
            *reinterpret_cast<const Words*>(static_cast<const uint16_t*>(rows.data) + at);
#pragma unroll
        for (int i = 0; i < kValues; i += 2) {
            const uint32_t word = words.word[i / 2];
            if (rows.dtype == DType::F16) {
                const float2 pair = __half22float2(*reinterpret_cast<const __half2*>(&word));
                x[i] = pair.x;
                x[i + 1] = pair.y;
            } else {
                x[i] = __uint_as_float(word << 16);
                x[i + 1] = __uint_as_float(word & 0xffff0000u);
            }
        }
    }

    __device__ void store(const RowsView& rows, int64_t at) const {
        at += threadIdx.x % kLanes * kValues;
        if (rows.dtype == DType::F32) {
#pragma unroll
            for (int i = 0; i < kValues; ++i) static_cast<float*>(rows.data)[at + i] = x[i];
            return;
        }
        struct alignas(2 * kValues) Words {
            uint32_t word[kValues / 2];
        } words;
#pragma unroll
        for (int i = 0; i < kValues; i += 2) {
            if (rows.dtype == DType::F16) {
                const __half2 pair = __floats2half2_rn(x[i], x[i + 1]);
                words.word[i / 2] = *reinterpret_cast<const uint32_t*>(&pair);
            } else {
                const __nv_bfloat162 pair = __floats2bfloat162_rn(x[i], x[i + 1]);
                words.word[i / 2] = *reinterpret_cast<const uint32_t*>(&pair);
            }
        }
        *reinterpret_cast<Words*>(static_cast<uint16_t*>(rows.data) + at) = words;
    }

    // The other value of a pair is 16 lanes away.
    __device__ void rotate(const RopeView& rope, int position) {
        const int lane = threadIdx.x % kLanes;
        const int64_t at = int64_t{position} * (16 * kValues) + lane % 16 * kValues;
#pragma unroll
        for (int i = 0; i < kValues; ++i) {
            const float other = __shfl_xor_sync(~0u, x[i], 16);
            const float sine = lane < 16 ? -rope.sin[at + i] : rope.sin[at + i];
            x[i] = x[i] * rope.cos[at + i] + other * sine;
        }
    }

    // Sylvester's transform times `factor`.
    __device__ void transform(float factor) {
#pragma unroll
        for (int distance = 1; distance < kValues; distance *= 2) {
#pragma unroll
            for (int i = 0; i < kValues; ++i) {
                if (i & distance) continue;
                const float a = x[i], b = x[i + distance];
                x[i] = a + b;
                x[i + distance] = a - b;
            }
        }
#pragma unroll
        for (int distance = 1; distance < kLanes; distance *= 2) {
            const bool upper = threadIdx.x & distance;
#pragma unroll
            for (int i = 0; i < kValues; ++i) {
                const float other = __shfl_xor_sync(~0u, x[i], distance);
                x[i] = upper ? other - x[i] : x[i] + other;
            }
        }
#pragma unroll
        for (float& value : x) value *= factor;
    }

    __device__ KvAffine affine(const KvPart& part) const {
        float lo = x[0], hi = x[0];
        bool finite = true;
#pragma unroll
        for (const float value : x) {
            lo = fminf(lo, value);
            hi = fmaxf(hi, value);
            finite &= isfinite(value);
        }
        return affine_of_warp(lo, hi, finite, part);
    }

    // Planes lie in lanes 32 / planes apart: together they fill the units of the first of them.
    __device__ void store_codes(const KvPart& part, const StoredAt& at,
                                const KvAffine& affine) const {
        const int lane = threadIdx.x % kLanes;
        const int planes = planes_of(part.container), unit_lanes = kLanes / planes;
        const int shift = lane / unit_lanes * (16 / planes);
        uint32_t words[kValues / 2];
#pragma unroll
        for (int i = 0; i < kValues; i += 2) {
            uint32_t word =
                (code_of(x[i], affine, part.bits) | code_of(x[i + 1], affine, part.bits) << 16)
                << shift;
            for (int distance = unit_lanes; distance < kLanes; distance *= 2) {
                word |= __shfl_xor_sync(~0u, word, distance);
            }
            words[i / 2] = word;
        }
        if (lane >= unit_lanes) return;
#pragma unroll
        for (int i = 0; i < kValues / 2; ++i) {
            *reinterpret_cast<uint32_t*>(row_byte(part, at, lane * 2 * kValues + 4 * i)) = words[i];
        }
    }

    __device__ void store_values(const KvPart& part, const StoredAt& at) const {
        const int first = threadIdx.x % kLanes * kValues;
#pragma unroll
        for (int i = 0; i < kValues; i += 2) {
            if (part.container == KvContainer::Float) {
                *reinterpret_cast<float2*>(row_byte(part, at, 4 * (first + i))) =
                    make_float2(x[i], x[i + 1]);
            } else {
                *reinterpret_cast<__half2*>(row_byte(part, at, 2 * (first + i))) =
                    __floats2half2_rn(x[i], x[i + 1]);
            }
        }
    }
};

template <int kValues>
__global__ void __launch_bounds__(kThreads)
    append_kernel(const __grid_constant__ AppendCall call, int n_q, int n_kv) {
    wait_for_predecessor();
    Head head;
    if (!find_head(call, n_q, n_kv, head)) return;
    const RowsView& rows = rows_of(call, head.kind);
    const int64_t column = head.token * rows.stride + int64_t{head.index} * kLanes * kValues;
    Lane<kValues> lane;
    lane.load(rows, column);
    if (head.kind != HeadKind::Value) {
        if (call.rope.cos != nullptr) lane.rotate(call.rope, head.position);
        if (call.transform.dense_order > 0) lane.transform(call.transform.factor);
    }
    if (head.kind == HeadKind::Query || call.kv.memory == nullptr) {
        lane.store(rows, column);
        return;
    }
    const KvPart& part = head.kind == HeadKind::Key ? call.kv.k : call.kv.v;
    const StoredAt at = stored_at(call, head);
    if (!is_coded(part.container)) {
        lane.store_values(part, at);
        return;
    }
    const KvAffine affine = lane.affine(part);
    lane.store_codes(part, at, affine);
    store_affine(call, head, part, at, affine);
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
                const float* row = transform.dense + i / order * transform.dense_order;
                float sum = 0.0f;
                for (int k = 0; k < transform.dense_order; ++k) {
                    sum = __fmaf_rn(row[k], x[k * order + i % order], sum);
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
            return dim < head_dim ? code_of(x[dim], affine, part.bits) : 0;
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
    append_general_kernel(const __grid_constant__ AppendCall call, int n_q, int n_kv) {
    __shared__ float shared[kWarps][2][kMaxHeadDim];
    wait_for_predecessor();
    Head head;
    if (!find_head(call, n_q, n_kv, head)) return;
    const RowsView& rows = rows_of(call, head.kind);
    const int64_t column = head.token * rows.stride + head.index * call.head_dim;
    const int warp = threadIdx.x / kLanes;
    SharedHead vector{shared[warp][0], shared[warp][1], static_cast<int>(call.head_dim)};
    vector.load(rows, column);
    if (head.kind != HeadKind::Value) {
        if (call.rope.cos != nullptr) vector.rotate(call.rope, head.position);
        if (call.transform.dense_order > 0) vector.transform(call.transform);
    }
    if (head.kind == HeadKind::Query || call.kv.memory == nullptr) {
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
    store_affine(call, head, part, at, affine);
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
    require(call.bad_site != nullptr, "append: no place for bad sites");
}

}  // namespace

void append(const AppendCall& call, Stream stream) {
    if (call.batch.n_tokens == 0) return;
    require(call.head_dim > 0, "append: head size");
    const int64_t n_q = call.q.data != nullptr ? call.q.cols / call.head_dim : 0;
    const int64_t n_kv = call.k.cols / call.head_dim;
    check_call(call, n_q, n_kv);
    const int64_t heads = n_q + n_kv + (call.kv.memory != nullptr ? n_kv : 0);
    const int64_t warps = call.batch.n_tokens * heads;
    const LaunchShape shape{.grid = dim3(static_cast<unsigned>((warps + kWarps - 1) / kWarps)),
                            .block = dim3(kThreads)};
    const bool sylvester = call.transform.dense_order <= 1;
    void (*kernel)(AppendCall, int, int) = append_general_kernel;
    if (sylvester && call.head_dim == 64) kernel = append_kernel<2>;
    if (sylvester && call.head_dim == 128) kernel = append_kernel<4>;
    if (sylvester && call.head_dim == 256) kernel = append_kernel<8>;
    launch("append_kernel", kernel, shape, stream, call, static_cast<int>(n_q),
           static_cast<int>(n_kv));
}

}  // namespace quarot::kernels::cuda
