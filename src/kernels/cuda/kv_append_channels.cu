// Keys by channel into the cache: those of a step join their sequences' newest blocks, and blocks
// that fill up become codes.
//
// A CTA looks at a few tokens of the batch for one KV head. The last token of a sequence's step and
// of each of its blocks stands for the keys before it in its block. The step's last token also
// stands for a block that the step found begun and leaves, whose keys must be read before others
// take their place.
#include "kernels/cuda/channel_keys.cuh"
#include "kernels/cuda/device/griddep.cuh"
#include "kernels/cuda/kv_append.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/row_access.cuh"
#include "kernels/cuda/row_quantizer.cuh"

namespace quarot::kernels::cuda {

namespace {

constexpr int kWarps = 4;
constexpr int kThreads = 32 * kWarps;
constexpr int kCtas = 6;  // of a multiprocessor; without a number ptxas (13.0) spills for no need
constexpr int kLaneDims = kMaxHeadDim / 32;

// Of the keys of one channel over a block: RealAffine of kernels/channel_keys.h, operation for
// operation.
struct ChannelAffine {
    float scale = 1.0f;
    float inverse = 1.0f;  // of the scale
    float offset = 0.0f;
    float last = 0.0f;  // the largest code; 0 where there are no others
};

__device__ float as_half(float x) {
    return __half2float(__float2half_rn(x));
}

// False where F16 does not hold both numbers, or a key is not finite.
__device__ bool find_affine(const KeyRange& range, const KvPart& part, ChannelAffine& affine) {
    constexpr float kSmallest = 0x1p-14f;
    affine = {};
    if (!is_finite(range)) return false;
    const float lo = __fmul_rn(0.5f, from_order_key(range.low));
    const float hi = __fmul_rn(0.5f, from_order_key(range.high));
    const float middle = __fadd_rn(lo, hi);
    const float half = __fmul_rn(__fsub_rn(hi, lo), part.clip);
    const float start = __fsub_rn(middle, half), last = __fadd_rn(middle, half);
    const float step = __fdiv_rn(__fsub_rn(last, start), largest_asymmetric(part.bits));
    const float scale = as_half(fmaxf(step, kSmallest)), offset = as_half(start);
    if (!isfinite(scale) || !isfinite(offset)) return false;
    affine = {scale, __frcp_rn(scale), offset, largest_asymmetric(part.bits)};
    return true;
}

// The quotient is rounded as a division rounds it: its error is exact, unless it is next to 0, and
// the reciprocal is the nearest to that of a scale whose digits are not all ones (Markstein).
__device__ uint32_t code_of(float key, const ChannelAffine& affine) {
    const float x = __fsub_rn(key, affine.offset), near = __fmul_rn(x, affine.inverse);
    const float error = __fmaf_rn(-near, affine.scale, x);
    const float q = rintf(__fmaf_rn(error, affine.inverse, near));
    return static_cast<uint32_t>(fminf(fmaxf(q, 0.0f), affine.last));
}

// The ranges of a block's channels, which all warps add to.
struct SharedRanges {
    int32_t low[kMaxHeadDim], high[kMaxHeadDim];
};

// The keys of one head and sequence in a step; a unit of codes has kPlanes of them.
template <typename T, int kPlanes>
struct HeadKeys {
    const AppendCall& call;
    int64_t sequence;
    int head;
    ChannelRun run;
    ExactKeys<T> keys;
    SharedRanges& ranges;

    __device__ HeadKeys(const AppendCall& of, int64_t s, int h, SharedRanges& shared)
        : call(of),
          sequence(s),
          head(h),
          run(channel_run(of.batch, of.kv.k, s)),
          keys(of.kv, of.k, run, of.layer, h, true),
          ranges(shared) {}

    static __device__ int warp() { return static_cast<int>(threadIdx.x / 32); }
    static __device__ int lane() { return static_cast<int>(threadIdx.x % 32); }
    __device__ T* newest(int64_t layer) const {
        return reinterpret_cast<T*>(call.kv.newest_keys(layer, run.seat, head));
    }
    __device__ void note(int position) const {
        if (call.bad_site != nullptr) atomicMin(call.bad_site + run.token_of(position), call.site);
    }

    // Where the queries of a block that the step leaves find its older keys.
    __device__ void keep_found() const {
        const int n = run.n_found() * call.kv.head_dim;
        for (int i = threadIdx.x; i < n; i += kThreads) {
            newest(call.kv.n_layers)[i] = newest(call.layer)[i];
        }
    }

    // Keys of the step from block `index` on become the newest ones.
    __device__ void keep_newest(int index) const {
        const int from = max(index * run.block, run.first), dims = call.kv.head_dim;
        for (int position = from + warp(); position < run.end; position += kWarps) {
            T* to = newest(call.layer) + position % run.block * dims;
            for (int dim = lane(); dim < dims; dim += 32) to[dim] = keys.key(position)[dim];
        }
    }

    // Notes the block's tokens of this step that are not finite, and finds its channels' ranges.
    __device__ void look_at(int index) const {
        const int begin = index * run.block, end = min(begin + run.block, run.end);
        for (int dim = threadIdx.x; dim < kMaxHeadDim; dim += kThreads) {
            ranges.low[dim] = INT32_MAX;
            ranges.high[dim] = INT32_MIN;
        }
        KeyRange own[kLaneDims];
#pragma unroll 1
        for (int position = begin + warp(); position < end; position += kWarps) {
            bool finite = true;
#pragma unroll
            for (int i = 0; i < kLaneDims; ++i) {
                const int dim = lane() + 32 * i;
                if (dim >= call.kv.head_dim) break;
                const float x = to_float(keys.key(position)[dim]);
                finite &= isfinite(x);
                own[i].include(order_key(x));
            }
            finite = __all_sync(kAllLanes, finite);
            if (!finite && lane() == 0 && position >= run.first) note(position);
        }
        __syncthreads();
#pragma unroll
        for (int i = 0; i < kLaneDims; ++i) {
            const int dim = lane() + 32 * i;
            if (dim >= call.kv.head_dim) break;
            atomicMin(&ranges.low[dim], own[i].low);
            atomicMax(&ranges.high[dim], own[i].high);
        }
        __syncthreads();
    }

    __device__ std::byte* tile_of(int position) const {
        const KvView& kv = call.kv;
        const int64_t page = call.batch.page(sequence, position / kv.page_tokens);
        return kv.memory + kv.tile_at(call.layer, page, head, position % kv.page_tokens);
    }

    // Codes and factors of a full block, from the ranges. A lane has whole units.
    __device__ void write_block(int index) const {
        const KvPart& part = call.kv.k;
        const int begin = index * run.block;
        const int slot = begin % call.kv.page_tokens % call.kv.tile_tokens;
        std::byte* const tile = tile_of(begin);
        bool fits = true;
#pragma unroll 1
        for (int unit = lane(); unit < part.units; unit += 32) {
            ChannelAffine affine[kPlanes];
#pragma unroll
            for (int plane = 0; plane < kPlanes; ++plane) {
                const int dim = plane * part.units + unit;
                if (dim >= call.kv.head_dim) continue;
                fits &= find_affine({ranges.low[dim], ranges.high[dim]}, part, affine[plane]);
                if (warp() > 0) continue;
                auto* factors = reinterpret_cast<__half*>(tile + channel_place(part, slot, dim));
                factors[0] = __float2half_rn(affine[plane].scale);
                factors[2] = __float2half_rn(affine[plane].offset);
            }
#pragma unroll 1
            for (int row = warp(); row < run.block; row += kWarps) {
                const T* key = keys.key(begin + row);
                uint32_t codes = 0;
#pragma unroll
                for (int plane = 0; plane < kPlanes; ++plane) {
                    const int dim = min(plane * part.units + unit, call.kv.head_dim - 1);
                    codes |= code_of(to_float(key[dim]), affine[plane]) << plane * (16 / kPlanes);
                }
                *reinterpret_cast<uint16_t*>(tile + code_place(part, slot + row, unit).byte) =
                    static_cast<uint16_t>(codes);
            }
        }
        if (!__all_sync(kAllLanes, fits) && threadIdx.x == 0) note(begin + run.block - 1);
    }

    __device__ void finish_block(int index) const {
        look_at(index);
        if ((index + 1) * run.block <= run.end) write_block(index);
        __syncthreads();
    }
};

// Token `token` of the batch, which all threads of the CTA look at together.
template <typename T, int kPlanes>
__device__ void append_at(const AppendCall& call, int64_t token, SharedRanges& ranges) {
    const int position = call.batch.positions[token];
    if (position < 0) return;
    const int64_t sequence = call.batch.sequence_of_token[token];
    const bool is_last = token + 1 == call.batch.first_token[sequence + 1];
    const int block = call.kv.k.block;
    if (!is_last && (position + 1) % block != 0) return;
    const HeadKeys<T, kPlanes> head(call, sequence, blockIdx.y, ranges);
    const bool leaves = head.run.leaves_block();
    const int index = position / block;
    const bool begun = leaves && (is_last || index == head.run.first_block());
    if (begun && !is_last) return;
    if (begun) head.keep_found();
#pragma unroll 1
    for (int i = begun ? 0 : 1; i < 2; ++i) {
        head.finish_block(i == 0 ? head.run.first_block() : index);
    }
    if (is_last) head.keep_newest(index);
}

template <typename T, int kPlanes>
__global__ void __launch_bounds__(kThreads, kCtas)
    append_channels_kernel(const __grid_constant__ AppendCall call, int tokens) {
    __shared__ SharedRanges ranges;
    let_successor_start();
    wait_for_predecessor();
    const int64_t first = int64_t{blockIdx.x} * tokens;
    const int64_t end = min(first + tokens, call.batch.n_tokens);
#pragma unroll 1
    for (int64_t token = first; token < end; ++token) append_at<T, kPlanes>(call, token, ranges);
}

}  // namespace

void append_channels(const AppendCall& call, Stream stream) {
    const KvView& kv = call.kv;
    require(call.batch.seats != nullptr, "append: seats of keys by channel");
    require(call.k.dtype == (kv.newest_bytes == 4 ? DType::F32 : DType::F16),
            "append: dtype of keys by channel");
    // Of many tokens few are the last of a block.
    constexpr int64_t kManyTokens = 512;
    const int tokens = call.batch.n_tokens >= kManyTokens ? kv.k.block : 1;
    const auto n = static_cast<unsigned>((call.batch.n_tokens + tokens - 1) / tokens);
    const LaunchShape shape{.grid = dim3(n, static_cast<unsigned>(kv.n_kv_heads)),
                            .block = dim3(kThreads)};
    const auto of_planes = [&]<int kPlanes>() {
        return kv.newest_bytes == 4 ? append_channels_kernel<float, kPlanes>
                                    : append_channels_kernel<__half, kPlanes>;
    };
    const auto kernel = kv.k.container == KvContainer::Nibble
                            ? of_planes.template operator()<planes_of(KvContainer::Nibble)>()
                            : of_planes.template operator()<planes_of(KvContainer::Byte)>();
    launch("append_channels_kernel", kernel, shape, stream, call, tokens);
}

}  // namespace quarot::kernels::cuda
