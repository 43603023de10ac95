// K and V of one layer as halves, keys with the bias that the cache leaves out, for the tensor
// cores: what a batch's queries see of every sequence, page by page.
//
// A CTA takes tiles of 64 positions of one KV head. A thread owns four neighbouring dimensions of
// several positions. The bias of a tile is the product of its positions' cosines and sines, in
// shared memory, with the head's basis.
#include <algorithm>

#include "kernels/cuda/attention_kernels.cuh"
#include "kernels/cuda/device/griddep.cuh"
#include "kernels/cuda/device/half_mma.cuh"
#include "kernels/cuda/launch.cuh"

namespace quarot::kernels::cuda {

namespace {

constexpr int kThreads = 256;
constexpr float kLargestHalf = 65504.0f;

template <int kDim>
struct ThreadPlace {
    static constexpr int kAcross = kDim / 4;             // threads of a position
    static constexpr int kApart = kThreads / kAcross;    // between positions of a thread
    static constexpr int kSlots = kTileTokens / kApart;  // positions of a thread
    int dim = 4 * (static_cast<int>(threadIdx.x) % kAcross);
    int first = static_cast<int>(threadIdx.x) / kAcross;
};

// Cosines and sines of a tile's positions.
template <int kDim>
struct Angles {
    alignas(16) float of[kTileTokens][kDim];

    __device__ void load(const KeyBiasView& bias, int first_position, int last) {
        constexpr int kHalf = kDim / 2;
        for (int i = threadIdx.x; i < kTileTokens * kHalf; i += kThreads) {
            const int slot = i / kHalf, pair = i % kHalf;
            const int64_t at = int64_t{min(first_position + slot, last)} * kHalf + pair;
            of[slot][pair] = __ldg(bias.cos + at);
            of[slot][kHalf + pair] = __ldg(bias.sin + at);
        }
    }
};

// Adds the bias of a thread's positions and dimensions.
template <int kDim>
__device__ __forceinline__ void add_bias(float (&to)[ThreadPlace<kDim>::kSlots][4],
                                         const float* basis, const Angles<kDim>& angles) {
    const ThreadPlace<kDim> place;
#pragma unroll 2
    for (int i = 0; i < kDim; i += 4) {
        float4 rows[4];
#pragma unroll
        for (int j = 0; j < 4; ++j) {
            rows[j] = __ldg(reinterpret_cast<const float4*>(basis + (i + j) * kDim + place.dim));
        }
#pragma unroll
        for (int s = 0; s < ThreadPlace<kDim>::kSlots; ++s) {
            const int slot = place.first + s * ThreadPlace<kDim>::kApart;
            const auto four = *reinterpret_cast<const float4*>(&angles.of[slot][i]);
            const float of[4] = {four.x, four.y, four.z, four.w};
#pragma unroll
            for (int j = 0; j < 4; ++j) {
                to[s][0] = __fmaf_rn(of[j], rows[j].x, to[s][0]);
                to[s][1] = __fmaf_rn(of[j], rows[j].y, to[s][1]);
                to[s][2] = __fmaf_rn(of[j], rows[j].z, to[s][2]);
                to[s][3] = __fmaf_rn(of[j], rows[j].w, to[s][3]);
            }
        }
    }
}

// Adds four neighbouring dimensions of a position, which lie in four units of one plane.
__device__ __forceinline__ void add_stored(float (&to)[4], const KvPart& part,
                                           const std::byte* tile, int slot, int dim) {
    const int plane = dim / part.units, unit = dim % part.units;
    const int piece = swizzled_piece(slot, unit / 8, part.row_bytes);
    const auto packed = *reinterpret_cast<const uint2*>(
        tile + part.codes_at + slot * part.row_bytes + 16 * piece + unit % 8 * 2);
    if (part.container == KvContainer::Half) {
        const float2 low = unpack_halves(packed.x), high = unpack_halves(packed.y);
        to[0] += low.x, to[1] += low.y, to[2] += high.x, to[3] += high.y;
        return;
    }
    const float scale = reinterpret_cast<const float*>(tile + part.scales_at)[slot];
    const int zero = reinterpret_cast<const int16_t*>(tile + part.zeros_at)[slot];
    const bool nibbles = part.container == KvContainer::Nibble;
    const int shift = nibbles ? 4 * plane : 8 * plane, mask = nibbles ? 15 : 255;
    const uint32_t words[2] = {packed.x, packed.y};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        const int code = static_cast<int>(words[i / 2] >> (16 * (i % 2) + shift)) & mask;
        to[i] = __fmaf_rn(scale, static_cast<float>(code - zero), to[i]);
    }
}

// Finite numbers beyond the range of halves stop at its largest; a NaN or Inf is for attention to
// find.
__device__ __forceinline__ void store_halves(const KvPart& part, std::byte* tile, int slot, int dim,
                                             const float (&from)[4]) {
    float x[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        x[i] = isfinite(from[i]) ? fminf(fmaxf(from[i], -kLargestHalf), kLargestHalf) : from[i];
    }
    const int piece = swizzled_piece(slot, dim / 8, part.row_bytes);
    *reinterpret_cast<uint2*>(tile + part.codes_at + slot * part.row_bytes + 16 * piece +
                              dim % 8 * 2) =
        make_uint2(pack_halves(x[0], x[1]), pack_halves(x[2], x[3]));
}

// Tiles of a sequence's positions that its queries see between them.
struct SeenTiles {
    int first = 0, end = 0, last_position = -1;

    __device__ SeenTiles(const KvBatch& batch, int sequence, int64_t window) {
        const int token = batch.first_token[sequence], end_token = batch.first_token[sequence + 1];
        if (token == end_token || batch.positions[token] < 0) return;
        last_position = batch.positions[token] + end_token - token - 1;
        first = first_seen(batch.positions[token], window) / kTileTokens;
        end = last_position / kTileTokens + 1;
    }
};

template <int kDim>
__global__ void __launch_bounds__(kThreads, 2)
    unpack_kernel(const __grid_constant__ AttentionCall call, const __grid_constant__ KvView to) {
    using Place = ThreadPlace<kDim>;
    __shared__ Angles<kDim> angles;
    wait_for_predecessor();
    const int head = blockIdx.y, sequence = blockIdx.z;
    const SeenTiles tiles(call.batch, sequence, call.window);
    const auto tiles_per_page = static_cast<int>(to.tiles_per_page());
    const Place place;
    for (int tile = tiles.first + blockIdx.x; tile < tiles.end; tile += gridDim.x) {
        const int64_t page = call.batch.page(sequence, tile / tiles_per_page);
        const int64_t slot_of_page = tile % tiles_per_page * kTileTokens;
        const std::byte* from =
            call.kv.memory + call.kv.tile_at(call.layer, page, head, slot_of_page);
        std::byte* out = to.memory + to.tile_at(0, page, head, slot_of_page);
        float keys[Place::kSlots][4] = {};
        if (call.key_bias.basis != nullptr) {
            __syncthreads();
            angles.load(call.key_bias, tile * kTileTokens, tiles.last_position);
            __syncthreads();
            add_bias<kDim>(keys, call.key_bias.basis + int64_t{head} * kDim * kDim, angles);
        }
#pragma unroll
        for (int s = 0; s < Place::kSlots; ++s) {
            const int slot = place.first + s * Place::kApart;
            if (tile * kTileTokens + slot > tiles.last_position) continue;
            float values[4] = {};
            add_stored(keys[s], call.kv.k, from, slot, place.dim);
            add_stored(values, call.kv.v, from, slot, place.dim);
            store_halves(to.k, out, slot, place.dim, keys[s]);
            store_halves(to.v, out, slot, place.dim, values);
        }
    }
}

// CTAs of a sequence and head: those of all fill the device a few times.
unsigned ctas_of_head(const AttentionCall& call) {
    constexpr int64_t kTimes = 8;
    const int64_t heads = call.kv.n_kv_heads * call.batch.n_sequences;
    const int64_t tiles = (call.max_context + kTileTokens - 1) / kTileTokens;
    const int64_t wanted = (kTimes * current_device().multiprocessors + heads - 1) / heads;
    return static_cast<unsigned>(std::min(tiles, wanted));
}

}  // namespace

AttentionCall unpack_cache(const AttentionCall& call, Stream stream) {
    AttentionCall unpacked = call;
    unpacked.kv = unpacked_view(call.kv);
    const KvView& to = unpacked.kv;
    require(to.n_kv_heads * to.tiles_per_page() * to.tile_bytes <= UINT32_MAX,
            "attention: bytes of a page of halves");
    unpacked.layer = 0;
    unpacked.key_bias = {};
    unpacked.all_is_new = true;
    const LaunchShape shape{
        .grid = dim3(ctas_of_head(call), static_cast<unsigned>(call.kv.n_kv_heads),
                     static_cast<unsigned>(call.batch.n_sequences)),
        .block = dim3(kThreads)};
    launch("unpack_kernel", call.kv.head_dim == 64 ? unpack_kernel<64> : unpack_kernel<128>, shape,
           stream, call, unpacked.kv);
    return unpacked;
}

}  // namespace quarot::kernels::cuda
