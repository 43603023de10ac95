// The chunks of split contexts, added up in order.
#include "kernels/cuda/attention_kernels.cuh"
#include "kernels/cuda/device/griddep.cuh"
#include "kernels/cuda/launch.cuh"

namespace quarot::kernels::cuda {

namespace {

constexpr int kThreads = 128;
constexpr int kAhead = 16;  // chunks that are loaded together

// A CTA owns one head of one row, a thread one or two of its dimensions.
__global__ void __launch_bounds__(kThreads)
    combine_kernel(const __grid_constant__ AttentionCall call, Partials partials, SplitRows rows,
                   float factor) {
    let_successor_start();
    wait_for_predecessor();
    const SplitRow row = split_row(call.batch, rows, blockIdx.y);
    if (row.position < 0 && !row.padding) return;
    const int head = blockIdx.x, head_dim = call.kv.head_dim;
    const int first = first_seen(row.position, call.window) / kChunkTokens;
    const int end = row.padding ? first : row.position / kChunkTokens + 1;
    const int64_t index = partials.index(blockIdx.y, head, call.n_heads, 0);
    const float2* sums = partials.sums + index;
    for (int dim = threadIdx.x; dim < head_dim; dim += kThreads) {
        const float* values = partials.values + index * head_dim + dim;
        float maximum = -INFINITY, weight = 0.0f, value = 0.0f;
        for (int chunk = first; chunk < end; chunk += kAhead) {
            float2 chunk_sums[kAhead];
            float chunk_value[kAhead];
#pragma unroll
            for (int i = 0; i < kAhead; ++i) {
                const int at = chunk + i;
                chunk_sums[i] = at < end ? sums[at] : make_float2(-INFINITY, 0.0f);
                chunk_value[i] = at < end ? values[int64_t{at} * head_dim] : 0.0f;
            }
#pragma unroll
            for (int i = 0; i < kAhead; ++i) {
                const ChunkFactors f = add_chunk(maximum, chunk_sums[i].x);
                weight = __fmaf_rn(weight, f.older, chunk_sums[i].y * f.newer);
                value = __fmaf_rn(value, f.older, chunk_value[i] * f.newer);
            }
        }
        const int64_t at = row.token * call.out.stride + int64_t{head} * head_dim + dim;
        store_value(call.out.data, call.out.dtype, at,
                    row.padding ? 0.0f : value / (weight * factor));
    }
}

}  // namespace

void combine_chunks(const AttentionCall& call, const Partials& partials, SplitRows rows,
                    int64_t n_rows, float factor, Stream stream) {
    const LaunchShape shape{
        .grid = dim3(static_cast<unsigned>(call.n_heads), static_cast<unsigned>(n_rows)),
        .block = dim3(kThreads)};
    launch("combine_kernel", combine_kernel, shape, stream, call, partials, rows, factor);
}

}  // namespace quarot::kernels::cuda
