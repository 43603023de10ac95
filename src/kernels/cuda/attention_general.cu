// Attention for every shape the fast kernels do not serve, in fp32 on dequantized values.
//
// A warp owns one query head of one token: one chunk of its context where contexts are split, else
// all chunks, one after the other. It walks tiles of 32 positions: for the scores a lane owns a
// position, for the sum of V it owns every 32nd dimension.
#include <cfloat>

#include "kernels/cuda/attention_kernels.cuh"
#include "kernels/cuda/channel_keys.cuh"
#include "kernels/cuda/device/griddep.cuh"
#include "kernels/cuda/launch.cuh"

namespace quarot::kernels::cuda {

namespace {

constexpr int kWarps = 4;
constexpr int kThreads = 32 * kWarps;
constexpr int kLanes = 32;
constexpr int kMaxValues = kMaxHeadDim / kLanes;  // dimensions of a lane
constexpr float kLog2E = 1.44269504088896340736f;

// One position of K or V in its tile.
struct StoredVector {
    const std::byte* tile;
    int slot;
    float scale = 1.0f;
    int zero = 0;
};

__device__ StoredVector stored_vector(const KvPart& part, const std::byte* tile, int slot) {
    StoredVector vector{tile, slot};
    if (!is_coded(part.container) || part.by_channel()) return vector;
    vector.scale = reinterpret_cast<const float*>(tile + part.scales_at)[slot];
    vector.zero = reinterpret_cast<const int16_t*>(tile + part.zeros_at)[slot];
    return vector;
}

__device__ int code_at(const KvPart& part, const StoredVector& vector, int dim) {
    const KvCodePlace place = code_place(part, vector.slot, dim);
    const int byte = static_cast<int>(vector.tile[place.byte]);
    return part.container == KvContainer::Nibble ? byte >> place.shift & 15 : byte;
}

// Of a key by channel in a full block.
__device__ float channel_value(const KvPart& part, const StoredVector& vector, int dim) {
    const auto* factors =
        reinterpret_cast<const __half*>(vector.tile + channel_place(part, vector.slot, dim));
    const auto code = static_cast<float>(code_at(part, vector, dim));
    return __fmaf_rn(__half2float(factors[0]), code, __half2float(factors[2]));
}

__device__ float value_at(const KvPart& part, const StoredVector& vector, int dim) {
    const std::byte* at = vector.tile + code_place(part, vector.slot, dim).byte;
    switch (part.container) {
        case KvContainer::Float:
            return *reinterpret_cast<const float*>(at);
        case KvContainer::Half:
            return __half2float(*reinterpret_cast<const __half*>(at));
        case KvContainer::Byte:
        case KvContainer::Nibble:
            break;
    }
    return vector.scale * static_cast<float>(code_at(part, vector, dim) - vector.zero);
}

// What a warp works on. T: of keys by channel as they came.
template <typename T>
struct Query {
    const float* q;     // [head_dim] in shared memory
    const float* bias;  // [head_dim] beside it: products of the key bias's rows with q
    bool finite = true;
    int64_t sequence = 0;
    int position = 0;
    int first = 0;  // first position it sees
    int kv_head = 0;
    ExactKeys<T> own;  // keys by channel of its own block
};

template <typename T>
__device__ const std::byte* tile_of(const AttentionCall& call, const Query<T>& query,
                                    int position) {
    const KvView& kv = call.kv;
    const int64_t page = call.batch.page(query.sequence, position / kv.page_tokens);
    return kv.memory + kv.tile_at(call.layer, page, query.kv_head, position % kv.page_tokens);
}

// Row i of the head's basis times q, where keys are kept without their bias.
template <typename T>
__device__ void multiply_bias(const AttentionCall& call, const Query<T>& query, float* products) {
    if (call.key_bias.basis == nullptr) return;
    const int dims = call.kv.head_dim;
    const float* basis = call.key_bias.basis + int64_t{query.kv_head} * dims * dims;
    for (int i = threadIdx.x % kLanes; i < dims; i += kLanes) {
        float sum = 0.0f;
        for (int dim = 0; dim < dims; ++dim) {
            sum = __fmaf_rn(query.q[dim], basis[i * dims + dim], sum);
        }
        products[i] = sum;
    }
    __syncwarp();
}

// q times what the cache leaves out of the key at `position`.
template <typename T>
__device__ float bias_score(const AttentionCall& call, const Query<T>& query, int position) {
    const int half = call.kv.head_dim / 2;
    const float* cos = call.key_bias.cos + int64_t{position} * half;
    const float* sin = call.key_bias.sin + int64_t{position} * half;
    float sum = 0.0f;
    for (int i = 0; i < half; ++i) {
        sum = __fmaf_rn(cos[i], query.bias[i], sum);
        sum = __fmaf_rn(sin[i], query.bias[half + i], sum);
    }
    return sum;
}

// q times the key at `position`, or what the cache has of it.
template <typename T>
__device__ float key_product(const AttentionCall& call, const Query<T>& query, int position) {
    const KvView& kv = call.kv;
    const auto sum_of = [&](const auto& value) {
        float sum = 0.0f;
        for (int dim = 0; dim < kv.head_dim; ++dim) {
            sum = __fmaf_rn(query.q[dim], value(dim), sum);
        }
        return sum;
    };
    if (kv.k.by_channel() && position / kv.k.block == query.position / kv.k.block) {
        const T* key = query.own.key(position);
        return sum_of([&](int dim) { return static_cast<float>(key[dim]); });
    }
    const StoredVector k = stored_vector(kv.k, tile_of(call, query, position),
                                         position % kv.page_tokens % kv.tile_tokens);
    if (kv.k.by_channel()) return sum_of([&](int dim) { return channel_value(kv.k, k, dim); });
    return sum_of([&](int dim) { return value_at(kv.k, k, dim); });
}

// In powers of two, at most the largest fp32 number; -inf where the query does not see the
// position.
template <typename T>
__device__ float score_of(const AttentionCall& call, const Query<T>& query, int position) {
    if (position < query.first || position > query.position) return -INFINITY;
    float sum = key_product(call, query, position);
    if (call.key_bias.basis != nullptr) sum += bias_score(call, query, position);
    sum *= call.scale;
    if (call.score_cap > 0.0f) sum = call.score_cap * tanhf(sum / call.score_cap);
    return fminf(fmaxf(sum * kLog2E, -FLT_MAX), FLT_MAX);
}

struct Sums {
    float maximum = -INFINITY;  // a whole number
    float weight = 0.0f;
    float values[kMaxValues] = {};
};

// Adds the positions first .. first + 31.
template <typename T>
__device__ void attend_positions(const AttentionCall& call, const Query<T>& query, int first,
                                 Sums& sums) {
    const int lane = threadIdx.x % kLanes;
    const float score = score_of(call, query, first + lane);
    float largest = score;
#pragma unroll
    for (int distance = 1; distance < kLanes; distance *= 2) {
        largest = fmaxf(largest, __shfl_xor_sync(~0u, largest, distance));
    }
    const float maximum = fmaxf(sums.maximum, ceilf(largest));
    const float older = power_of_two(sums.maximum - maximum);
    // Scores beyond fp32 are equal here: lighter weights, so that their sum does not overflow.
    const float unit = maximum == FLT_MAX ? 0x1p-20f : 1.0f;
    const float weight = unit * exp2f(score - (maximum == -INFINITY ? 0.0f : maximum));
    sums.maximum = maximum;
    float total = weight;
#pragma unroll
    for (int distance = 1; distance < kLanes; distance *= 2) {
        total += __shfl_xor_sync(~0u, total, distance);
    }
    sums.weight = __fmaf_rn(sums.weight, older, total);
    for (float& value : sums.values) value *= older;
    const KvView& kv = call.kv;
    for (int i = 0; i < kLanes; ++i) {
        const int position = first + i;
        if (position < query.first || position > query.position) continue;
        const float w = __shfl_sync(~0u, weight, i);
        const StoredVector v = stored_vector(kv.v, tile_of(call, query, position),
                                             position % kv.page_tokens % kv.tile_tokens);
#pragma unroll
        for (int j = 0; j < kMaxValues; ++j) {
            const int dim = lane + kLanes * j;
            if (dim >= kv.head_dim) break;
            sums.values[j] = __fmaf_rn(w, value_at(kv.v, v, dim), sums.values[j]);
        }
    }
}

template <typename T>
__device__ Sums attend_chunk(const AttentionCall& call, const Query<T>& query, int chunk) {
    Sums sums;
    const int first = max(chunk * kChunkTokens, query.first / kLanes * kLanes);
    const int end = min((chunk + 1) * kChunkTokens, query.position + 1);
    for (int position = first; position < end; position += kLanes) {
        attend_positions(call, query, position, sums);
    }
    if (!query.finite) {
        for (float& value : sums.values) value = NAN;
    }
    return sums;
}

__device__ float load_value(const void* data, DType dtype, int64_t at) {
    if (dtype == DType::F32) return static_cast<const float*>(data)[at];
    if (dtype == DType::F16) return __half2float(static_cast<const __half*>(data)[at]);
    return __bfloat162float(static_cast<const __nv_bfloat16*>(data)[at]);
}

__device__ void store_partial(const AttentionCall& call, const Partials& partials, int64_t token,
                              int head, int chunk, const Sums& sums) {
    const int lane = threadIdx.x % kLanes;
    const int64_t index = partials.index(token, head, call.n_heads, chunk);
    if (lane == 0) partials.sums[index] = make_float2(sums.maximum, sums.weight);
#pragma unroll
    for (int j = 0; j < kMaxValues; ++j) {
        const int dim = lane + kLanes * j;
        if (dim < call.kv.head_dim) {
            partials.values[index * call.kv.head_dim + dim] = sums.values[j];
        }
    }
}

template <typename T>
__device__ Sums attend_all(const AttentionCall& call, const Query<T>& query) {
    Sums total;
    for (int chunk = query.first / kChunkTokens; chunk * kChunkTokens <= query.position; ++chunk) {
        const Sums sums = attend_chunk(call, query, chunk);
        const ChunkFactors f = add_chunk(total.maximum, sums.maximum);
        total.weight = __fmaf_rn(total.weight, f.older, sums.weight * f.newer);
#pragma unroll
        for (int j = 0; j < kMaxValues; ++j) {
            total.values[j] = __fmaf_rn(total.values[j], f.older, sums.values[j] * f.newer);
        }
    }
    return total;
}

template <typename T>
__global__ void __launch_bounds__(kThreads, 4)
    attend_general_kernel(const __grid_constant__ AttentionCall call, Partials partials,
                          bool split) {
    __shared__ float shared[kWarps][2][kMaxHeadDim];
    let_successor_start();
    wait_for_predecessor();
    const int warp = threadIdx.x / kLanes, lane = threadIdx.x % kLanes;
    const int64_t item = int64_t{blockIdx.x} * kWarps + warp;
    const int64_t token = item / call.n_heads;
    const int head = static_cast<int>(item % call.n_heads), chunk = blockIdx.y;
    if (token >= call.batch.n_tokens) return;
    Query<T> query;
    query.sequence = call.batch.sequence_of_token[token];
    query.position = call.batch.positions[token];
    query.first = first_seen(query.position, call.window);
    query.kv_head = static_cast<int>(head / (call.n_heads / call.kv.n_kv_heads));
    const int64_t column = int64_t{head} * call.kv.head_dim;
    bool finite = true;
    for (int dim = lane; dim < call.kv.head_dim; dim += kLanes) {
        const float q = load_value(call.q.data, call.q.dtype, token * call.q.stride + column + dim);
        finite &= isfinite(q);
        shared[warp][0][dim] = q;
    }
    query.finite = __all_sync(~0u, finite);
    __syncwarp();
    query.q = shared[warp][0];
    query.bias = shared[warp][1];
    multiply_bias(call, query, shared[warp][1]);
    if (call.kv.k.by_channel() && query.position >= 0) {
        const ChannelRun run = channel_run(call.batch, call.kv.k, query.sequence);
        query.own = ExactKeys<T>(call.kv, call.k, run, call.layer, query.kv_head, false);
    }
    if (split) {
        const bool empty =
            chunk * kChunkTokens > query.position || (chunk + 1) * kChunkTokens <= query.first;
        if (query.position < 0 || empty) return;
        store_partial(call, partials, token, head, chunk, attend_chunk(call, query, chunk));
        return;
    }
    const Sums total = attend_all(call, query);
#pragma unroll
    for (int j = 0; j < kMaxValues; ++j) {
        const int dim = lane + kLanes * j;
        if (dim >= call.kv.head_dim) break;
        // Only padding has no weight.
        store_value(call.out.data, call.out.dtype, token * call.out.stride + column + dim,
                    total.weight == 0.0f ? 0.0f : total.values[j] / total.weight);
    }
}

}  // namespace

void attend_general(const AttentionCall& call, const Partials& partials, bool split,
                    Stream stream) {
    const int64_t items = call.batch.n_tokens * call.n_heads;
    const LaunchShape shape{.grid = dim3(static_cast<unsigned>((items + kWarps - 1) / kWarps),
                                         split ? static_cast<unsigned>(partials.max_chunks) : 1),
                            .block = dim3(kThreads)};
    const bool floats = call.kv.newest_bytes == 4;
    launch("attend_general_kernel",
           floats ? attend_general_kernel<float> : attend_general_kernel<__half>, shape, stream,
           call, partials, split);
}

}  // namespace quarot::kernels::cuda
