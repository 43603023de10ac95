// How the kernels of prefill cut queries into tiles, and which positions a tile of queries sees.
#pragma once

#include <cstdint>

#include "kernels/cuda/attention_tile.cuh"

namespace quarot::kernels::cuda {

// Which queries a CTA owns: consecutive rows of a sequence, a row being a token and one of the
// heads_per_kv query heads.
struct QueryTile {
    int sequence = -1;
    int first_token = 0;
    int first_row = 0;
    int n_rows = 0;  // of the whole sequence
};

// Tiles of kRows rows, numbered through all sequences with more than one token. All lanes get the
// same answer.
template <int kRows>
__device__ QueryTile find_tile(const KvBatch& batch, int heads_per_kv, int tile) {
    const int lane = threadIdx.x % 32;
    QueryTile result;
    for (int base = 0; base < batch.n_sequences; base += 32) {
        const int sequence = base + lane;
        int first = 0, rows = 0;
        if (sequence < batch.n_sequences) {
            first = batch.first_token[sequence];
            const int n_tokens = batch.first_token[sequence + 1] - first;
            rows = n_tokens > 1 ? n_tokens * heads_per_kv : 0;
        }
        const int n_tiles = (rows + kRows - 1) / kRows;
        int end = n_tiles;
#pragma unroll
        for (int distance = 1; distance < 32; distance *= 2) {
            const int before = __shfl_up_sync(~0u, end, distance);
            if (lane >= distance) end += before;
        }
        const uint32_t found = __ballot_sync(~0u, tile < end && tile >= end - n_tiles);
        if (found != 0) {
            const int owner = __ffs(static_cast<int>(found)) - 1;
            result.sequence = base + owner;
            result.first_token = __shfl_sync(~0u, first, owner);
            result.first_row = (tile - __shfl_sync(~0u, end - n_tiles, owner)) * kRows;
            result.n_rows = __shfl_sync(~0u, rows, owner);
            return result;
        }
        tile -= __shfl_sync(~0u, end, 31);
    }
    return result;
}

// Positions that some queries see between them; empty where all are padding.
struct Range {
    int first = 0x7fffffff;
    int last = -1;
    int lowest_query = 0x7fffffff;  // -1 where there is padding
    int lowest_token = 0x7fffffff;  // where there is none
};

// Of 16 queries.
__device__ inline Range seen_by_warp(const QueryColumn* columns, int64_t window) {
    Range range;
#pragma unroll 4
    for (int i = 0; i < 16; ++i) {
        const int position = columns[i].position;
        range.lowest_query = min(range.lowest_query, position);
        if (position < 0) continue;
        range.first = min(range.first, first_seen(position, window));
        range.last = max(range.last, position);
        range.lowest_token = min(range.lowest_token, position);
    }
    return range;
}

// What `kWarps` warps see together.
template <int kWarps>
__device__ Range seen_by_all(const Range* ranges) {
    Range all;
#pragma unroll
    for (int warp = 0; warp < kWarps; ++warp) {
        all.first = min(all.first, ranges[warp].first);
        all.last = max(all.last, ranges[warp].last);
        all.lowest_query = min(all.lowest_query, ranges[warp].lowest_query);
    }
    return all;
}

// attention_prefill_sm90.cu: the same by products of warpgroups, compute capability 9.0 only.
void attend_prefill_sm90(const AttentionCall& call, Stream stream);

}  // namespace quarot::kernels::cuda
