// What the kernels of attention share: arguments, partial results and the order in which they are
// added. A partial result of a chunk is its maximum m (a whole number), its sum of weights and its
// sum of weighted values, both relative to 2^m.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/cuda/attention.h"

namespace quarot::kernels::cuda {

struct Partials {
    float* values = nullptr;  // [rows, n_heads, max_chunks, head_dim]
    float2* sums = nullptr;   // [rows, n_heads, max_chunks]: maximum, sum of weights
    int64_t max_chunks = 0;

    __device__ int64_t index(int64_t row, int64_t head, int64_t n_heads, int64_t chunk) const {
        return (row * n_heads + head) * max_chunks + chunk;
    }
};

// Which tokens a kernel that splits contexts serves: all, row by row, or the only one of each
// sequence that has one.
enum class SplitRows { Tokens, LoneTokens };

struct SplitRow {
    int64_t token = 0;
    int64_t sequence = 0;
    int position = -1;  // -1: nothing to do, unless `padding`
    bool padding = false;
};

__device__ __forceinline__ SplitRow split_row(const KvBatch& batch, SplitRows rows, int64_t row) {
    SplitRow result;
    if (rows == SplitRows::Tokens) {
        result.token = row;
        result.sequence = batch.sequence_of_token[row];
    } else {
        result.sequence = row;
        result.token = batch.first_token[row];
        if (batch.first_token[row + 1] - result.token != 1) return result;
    }
    result.position = batch.positions[result.token];
    result.padding = result.position < 0;
    return result;
}

// First position that a token sees.
__device__ __forceinline__ int first_seen(int position, int64_t window) {
    return window > 0 && window <= position ? static_cast<int>(position - window + 1) : 0;
}

__device__ __forceinline__ void store_value(void* data, DType dtype, int64_t at, float value) {
    if (dtype == DType::F32) {
        static_cast<float*>(data)[at] = value;
    } else if (dtype == DType::F16) {
        static_cast<__half*>(data)[at] = __float2half_rn(value);
    } else {
        static_cast<__nv_bfloat16*>(data)[at] = __float2bfloat16_rn(value);
    }
}

// 2^x for a whole number x <= 0, exactly; 0 for x < -126 and for -inf - -inf.
__device__ __forceinline__ float power_of_two(float x) {
    return __int_as_float((static_cast<int>(fmaxf(x, -127.0f)) + 127) << 23);
}

// How a chunk is added to the chunks before it: total = total * older + chunk * newer. Both are
// powers of two, one of them 1, so each addition rounds once.
struct ChunkFactors {
    float older, newer;
};

__device__ __forceinline__ ChunkFactors add_chunk(float& maximum, float chunk_maximum) {
    const float larger = fmaxf(maximum, chunk_maximum);
    const ChunkFactors factors{power_of_two(maximum - larger),
                               power_of_two(chunk_maximum - larger)};
    maximum = larger;
    return factors;
}

// Adds the chunks of every row that `rows` names in order and writes `out`; `factor` is what the
// values are too large by. Rows of padding become zeros. Defined in attention_combine.cu.
void combine_chunks(const AttentionCall& call, const Partials& partials, SplitRows rows,
                    int64_t n_rows, float factor, Stream stream);

// attention_split.cu, attention_team.cu, attention_prefill.cu: tensor cores. attention_general.cu:
// fp32; not split, it walks all chunks of every token.
void attend_rows(const AttentionCall& call, const Partials& partials, SplitRows rows,
                 int64_t n_rows, Stream stream);
// Four warps an item where there are few; false, and nothing is enqueued, where there are many.
bool attend_by_teams(const AttentionCall& call, const Partials& partials, SplitRows rows,
                     int64_t n_rows, Stream stream);
void attend_prefill(const AttentionCall& call, Stream stream);
// attention_unpack.cu: enqueues what turns K and V of the layer into halves, and returns the call
// over these.
AttentionCall unpack_cache(const AttentionCall& call, Stream stream);
void attend_general(const AttentionCall& call, const Partials& partials, bool split, Stream stream);

}  // namespace quarot::kernels::cuda
