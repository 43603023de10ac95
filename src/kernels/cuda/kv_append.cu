// A warp owns heads of one kind of one token: query heads, K heads or V heads.
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

// Which head a warp owns, or the first of several.
struct Head {
    HeadKind kind = HeadKind::Query;
    int64_t token = 0;
    int index = 0;  // among the heads of its kind
    int position = -1;
};

// How many heads of each kind there are, and how many a warp takes.
struct HeadCounts {
    int q = 0;
    int kv = 0;
    int per_warp = 1;  // divides both

    QUAROT_HOST_DEVICE int64_t warps(bool stores) const {
        return (q + (stores ? 2 : 1) * kv) / per_warp;
    }
};

__device__ bool find_head(const AppendCall& call, const HeadCounts& heads, Head& head) {
    const int64_t item = int64_t{blockIdx.x} * kWarps + threadIdx.x / kLanes;
    const int64_t warps = heads.warps(call.kv.memory != nullptr);
    head.token = item / warps;
    if (head.token >= call.batch.n_tokens) return false;
    head.position = call.batch.positions[head.token];
    head.index = static_cast<int>(item % warps) * heads.per_warp;
    if (head.index >= heads.q) {
        head.index -= heads.q;
        head.kind = head.index < heads.kv ? HeadKind::Key : HeadKind::Value;
        head.index %= heads.kv;
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
    const int64_t page = call.batch.page(sequence, head.position / kv.page_tokens);
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
    if (!affine.finite && call.bad_site != nullptr) {
        atomicMin(call.bad_site + head.token, call.site);
    }
}

__device__ std::byte* row_byte(const KvPart& part, const StoredAt& at, int byte) {
    const int piece = swizzled_piece(at.slot, byte / 16, part.row_bytes);
    return at.tile + part.codes_at + at.slot * part.row_bytes + 16 * piece + byte % 16;
}

// ---------------------------------------------------------------- heads in registers

// Lane l holds values kValues * l .. of each of kHeads heads of 32 * kValues.
template <int kValues, int kHeads>
struct Heads {
    static constexpr int kHeadDim = kLanes * kValues;
    struct alignas(2 * kValues) Words {
        uint32_t word[kValues / 2];
    };
    struct alignas(8) Pair {
        float x, y;
    };
    float x[kHeads][kValues];

    // Calls body(head, value) for all values of this lane.
    template <typename Body>
    __device__ __forceinline__ void each(const Body& body) {
#pragma unroll
        for (int h = 0; h < kHeads; ++h) {
#pragma unroll
            for (int i = 0; i < kValues; ++i) body(h, i);
        }
    }

    // `at`: of the first head.
    __device__ void load(const RowsView& rows, int64_t at) {
        at += threadIdx.x % kLanes * kValues;
        if (rows.dtype == DType::F32) {
#pragma unroll
            for (int i = 0; i < kHeads * kValues; i += 2) {
                const int h = i / kValues;
                const auto* from = static_cast<const float*>(rows.data) + at + h * kHeadDim;
                const Pair pair = *reinterpret_cast<const Pair*>(from + i % kValues);
                x[h][i % kValues] = pair.x;
                x[h][i % kValues + 1] = pair.y;
            }
            return;
        }
        Words words[kHeads];
#pragma unroll
        for (int h = 0; h < kHeads; ++h) {
            words[h] = *reinterpret_cast<const Words*>(static_cast<const uint16_t*>(rows.data) +
                                                       at + h * kHeadDim);
        }
        const bool bfloat = rows.dtype == DType::BF16;
        each([&](int h, int i) {
            const uint32_t word = words[h].word[i / 2] >> (i % 2 * 16);
            const auto half = static_cast<uint16_t>(word);
            x[h][i] = bfloat ? __uint_as_float(word << 16)
                             : __half2float(*reinterpret_cast<const __half*>(&half));
        });
    }

    __device__ void store(const RowsView& rows, int64_t at) {
        at += threadIdx.x % kLanes * kValues;
        if (rows.dtype == DType::F32) {
            each([&](int h, int i) {
                static_cast<float*>(rows.data)[at + h * kHeadDim + i] = x[h][i];
            });
            return;
        }
#pragma unroll
        for (int h = 0; h < kHeads; ++h) {
            Words words;
#pragma unroll
            for (int i = 0; i < kValues; i += 2) {
                if (rows.dtype == DType::F16) {
                    const __half2 pair = __floats2half2_rn(x[h][i], x[h][i + 1]);
                    words.word[i / 2] = *reinterpret_cast<const uint32_t*>(&pair);
                } else {
                    const __nv_bfloat162 pair = __floats2bfloat162_rn(x[h][i], x[h][i + 1]);
                    words.word[i / 2] = *reinterpret_cast<const uint32_t*>(&pair);
                }
            }
            *reinterpret_cast<Words*>(static_cast<uint16_t*>(rows.data) + at + h * kHeadDim) =
                words;
        }
    }

    // The other value of a pair is 16 lanes away.
    __device__ void rotate(const RopeView& rope, int position) {
        const int lane = threadIdx.x % kLanes;
        const int64_t at = int64_t{position} * (kHeadDim / 2) + lane % 16 * kValues;
        float cosine[kValues], sine[kValues];
#pragma unroll
        for (int i = 0; i < kValues; ++i) {
            cosine[i] = rope.cos[at + i];
            sine[i] = lane < 16 ? -rope.sin[at + i] : rope.sin[at + i];
        }
        each([&](int h, int i) {
            const float other = __shfl_xor_sync(~0u, x[h][i], 16);
            x[h][i] = x[h][i] * cosine[i] + other * sine[i];
        });
    }

    // Sylvester's transform times `factor`.
    __device__ void transform(float factor) {
#pragma unroll
        for (int distance = 1; distance < kValues; distance *= 2) {
            each([&](int h, int i) {
                if (i & distance) return;
                const float a = x[h][i], b = x[h][i + distance];
                x[h][i] = a + b;
                x[h][i + distance] = a - b;
            });
        }
#pragma unroll
        for (int distance = 1; distance < kLanes; distance *= 2) {
            const float sign = threadIdx.x & distance ? -1.0f : 1.0f;
            each([&](int h, int i) {
                const float other = __shfl_xor_sync(~0u, x[h][i], distance);
                x[h][i] = __fmaf_rn(x[h][i], sign, other);
            });
        }
        each([&](int h, int i) { x[h][i] *= factor; });
    }

    __device__ KvAffine affine(int h, const KvPart& part) const {
        float lo = x[h][0], hi = x[h][0];
        bool finite = true;
#pragma unroll
        for (const float value : x[h]) {
            lo = fminf(lo, value);
            hi = fmaxf(hi, value);
            finite &= isfinite(value);
        }
        return affine_of_warp(lo, hi, finite, part);
    }

    // Planes lie in lanes 32 / planes apart: together they fill the units of the first of them.
    __device__ void store_codes(int h, const KvPart& part, const StoredAt& at,
                                const KvAffine& affine) const {
        const int lane = threadIdx.x % kLanes;
        const int planes = planes_of(part.container), unit_lanes = kLanes / planes;
        const int shift = lane / unit_lanes * (16 / planes);
        uint32_t words[kValues / 2];
#pragma unroll
        for (int i = 0; i < kValues; i += 2) {
            uint32_t word = (code_of(x[h][i], affine, part.bits) |
                             code_of(x[h][i + 1], affine, part.bits) << 16)
                            << shift;
            word |= __shfl_xor_sync(~0u, word, 16);
            if (planes == 4) word |= __shfl_xor_sync(~0u, word, 8);
            words[i / 2] = word;
        }
        if (lane >= unit_lanes) return;
#pragma unroll
        for (int i = 0; i < kValues / 2; ++i) {
            *reinterpret_cast<uint32_t*>(row_byte(part, at, lane * 2 * kValues + 4 * i)) = words[i];
        }
    }

    __device__ void store_values(int h, const KvPart& part, const StoredAt& at) const {
        const int first = threadIdx.x % kLanes * kValues;
#pragma unroll
        for (int i = 0; i < kValues; i += 2) {
            if (part.container == KvContainer::Float) {
                *reinterpret_cast<float2*>(row_byte(part, at, 4 * (first + i))) =
                    make_float2(x[h][i], x[h][i + 1]);
            } else {
                *reinterpret_cast<__half2*>(row_byte(part, at, 2 * (first + i))) =
                    __floats2half2_rn(x[h][i], x[h][i + 1]);
            }
        }
    }
};

template <int kValues, int kHeads>
__global__ void __launch_bounds__(kThreads)
    append_kernel(const __grid_constant__ AppendCall call, HeadCounts counts) {
    let_successor_start();
    wait_for_predecessor();
    Head head;
    if (!find_head(call, counts, head)) return;
    const RowsView& rows = rows_of(call, head.kind);
    const int64_t column = head.token * rows.stride + int64_t{head.index} * kLanes * kValues;
    Heads<kValues, kHeads> heads;
    heads.load(rows, column);
    if (head.kind != HeadKind::Value) {
        if (call.rope.cos != nullptr) heads.rotate(call.rope, head.position);
        if (call.transform.dense_order > 0) heads.transform(call.transform.factor);
    }
    if (head.kind == HeadKind::Query || call.kv.memory == nullptr) {
        heads.store(rows, column);
        return;
    }
    const KvPart& part = head.kind == HeadKind::Key ? call.kv.k : call.kv.v;
    StoredAt at = stored_at(call, head);
    const int64_t head_bytes = call.kv.tiles_per_page() * call.kv.tile_bytes;
    if (!is_coded(part.container)) {
#pragma unroll
        for (int h = 0; h < kHeads; ++h, at.tile += head_bytes) heads.store_values(h, part, at);
        return;
    }
    KvAffine affine[kHeads];
#pragma unroll
    for (int h = 0; h < kHeads; ++h) affine[h] = heads.affine(h, part);
#pragma unroll
    for (int h = 0; h < kHeads; ++h, at.tile += head_bytes) {
        heads.store_codes(h, part, at, affine[h]);
        store_affine(call, head, part, at, affine[h]);
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
}

// Where there are many tokens, a warp takes four heads, so that one head's shuffles hide behind
// another's; few tokens rather spread over the device.
constexpr int64_t kManyTokens = 512;

using AppendKernel = void (*)(AppendCall, HeadCounts);

template <int kValues>
AppendKernel register_kernel(int heads_per_warp) {
    return heads_per_warp == 4 ? append_kernel<kValues, 4> : append_kernel<kValues, 1>;
}

AppendKernel kernel_of(const AppendCall& call, HeadCounts& counts) {
    if (call.transform.dense_order > 1) return append_general_kernel;
    if (call.head_dim != 64 && call.head_dim != 128 && call.head_dim != 256) {
        return append_general_kernel;
    }
    if (call.batch.n_tokens >= kManyTokens && counts.q % 4 == 0 && counts.kv % 4 == 0) {
        counts.per_warp = 4;
    }
    if (call.head_dim == 64) return register_kernel<2>(counts.per_warp);
    if (call.head_dim == 128) return register_kernel<4>(counts.per_warp);
    return register_kernel<8>(counts.per_warp);
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
    const LaunchShape shape{.grid = dim3(static_cast<unsigned>((warps + kWarps - 1) / kWarps)),
                            .block = dim3(kThreads)};
    launch("append_kernel", kernel, shape, stream, call, counts);
}

}  // namespace quarot::kernels::cuda
