// What the kernels of split contexts share: who owns which part, its tiles, partial results.
//
// An item is one KV head, up to 8 of the query heads that share it, and one chunk of a row's
// context, or all its chunks. Items are numbered chunk by chunk, so that neighbours have work or
// have none.
#pragma once

#include "kernels/cuda/attention_tile.cuh"
#include "kernels/cuda/device/async_copy.cuh"

namespace quarot::kernels::cuda {

inline constexpr int kChunkTiles = kChunkTokens / kTileTokens;

// Items of one chunk of a row.
inline int64_t split_heads(const AttentionCall& call) {
    return (call.n_heads / call.kv.n_kv_heads + 7) / 8 * call.kv.n_kv_heads;
}

// kWhole: of all chunks.
template <typename Shape, bool kWhole>
struct SplitItem {
    SplitRow row;
    int kv_head, first_head, n_queries;
    int seen;         // first position that the row sees
    int chunk;        // or the first of all
    int first, last;  // positions; none where first > last

    // Positions and pages are there since before the step.
    __device__ SplitItem(const AttentionCall& call, SplitRows rows, int64_t index, int item)
        : row(split_row(call.batch, rows, index)) {
        const int heads_per_kv = static_cast<int>(call.n_heads) / call.kv.n_kv_heads;
        const int groups = (heads_per_kv + 7) / 8, items = call.kv.n_kv_heads * groups;
        const int group = item % items % groups;
        kv_head = item % items / groups;
        first_head = kv_head * heads_per_kv + 8 * group;
        n_queries = min(8, heads_per_kv - 8 * group);
        seen = first_seen(row.position, call.window);
        chunk = kWhole ? seen / kChunkTokens : item / items;
        first = max(chunk * kChunkTokens, seen);
        last = kWhole ? row.position : min((chunk + 1) * kChunkTokens - 1, row.position);
        if (row.position < 0 || (kWhole && item >= items)) last = first - 1;
        if (kWhole && item >= items) row.padding = false;
    }
    __device__ bool has_work() const { return first <= last; }
    // Of the first head's first value.
    template <typename Rows>
    __device__ int64_t place(const Rows& rows) const {
        return row.token * rows.stride + int64_t{first_head} * Shape::kHeadDim;
    }
    __device__ QueryPlace query(const AttentionCall& call, int i) const {
        if (i >= n_queries) return {};
        return {place(call.q) + i * Shape::kHeadDim, row.position};
    }
    // Whether a tile holds positions that the row does not see.
    __device__ bool masks(int position) const {
        return position + kTileTokens > row.position || position < seen;
    }
};

// The tiles of an item. Every lane of a warp calls its functions.
struct ItemTiles {
    const std::byte* cache = nullptr;  // of the layer and KV head, page 0
    const int32_t* pages = nullptr;    // of the sequence
    uint32_t page_bytes = 0;
    int tiles_per_page = 1;
    int first = 0;  // tile index, from position 0
    int count = 0;
    int page = 0;  // lane l: page of tile first + i for the last i that find_pages was told and l

    template <typename Item>
    __device__ ItemTiles(const AttentionCall& call, const Item& item) {
        const KvView& kv = call.kv;
        cache = kv.memory + kv.tile_at(call.layer, 0, item.kv_head, 0);
        pages = call.batch.pages + call.batch.first_page[item.row.sequence];
        tiles_per_page = static_cast<int>(kv.tiles_per_page());
        page_bytes = static_cast<uint32_t>(kv.n_kv_heads * tiles_per_page * kv.tile_bytes);
        first = item.first / kTileTokens;
        count = item.last / kTileTokens - first + 1;
    }

    // Tiles i .. i + 31 may be asked for; i is a multiple of 32.
    __device__ void find_pages(int i) {
        const int at = i + static_cast<int>(threadIdx.x % 32);
        if (at < count) page = pages[(first + at) / tiles_per_page];
    }
    // The first tiles, so many, hold positions before `end` alone.
    __device__ int whole_before(int64_t end) const {
        return max(static_cast<int>(max(end, int64_t{0}) / kTileTokens) - first, 0);
    }
    __device__ const std::byte* address(int i, int64_t tile_bytes) const {
        const auto of_page = static_cast<uint32_t>(__shfl_sync(~0u, page, i % 32));
        return cache + uint64_t{of_page} * page_bytes + (first + i) % tiles_per_page * tile_bytes;
    }
};

// Asks for tile `i`, kThreads threads together; positions after `last` become zeros where V is not
// coded.
template <typename Shape, int kThreads>
__device__ __forceinline__ void request_tile(const ItemTiles& tiles, int i, int last, uint32_t to) {
    const std::byte* from = tiles.address(i, Shape::kTileBytes);
    const int present = last - (tiles.first + i) * kTileTokens;  // rows 0 .. present hold something
    constexpr int kPieces = Shape::kTileBytes / 16;
#pragma unroll 9
    for (int piece = threadIdx.x % kThreads; piece < kPieces; piece += kThreads) {
        if constexpr (Shape::kCoded) {
            copy_async(to + 16 * piece, from + 16 * piece);
        } else {
            const int row = (16 * piece - Shape::kPartBytes) / Shape::kRowBytes;
            copy_async_or_zero(to + 16 * piece, from + 16 * piece, row <= present);
        }
    }
}

// Calls body(dim, i, e) for this lane's values of column c: out[i][e] of kOut steps from `step` on.
template <typename Shape, int kOut, typename Body>
__device__ __forceinline__ void each_dimension(int step, int c, const Body& body) {
#pragma unroll
    for (int i = 0; i < kOut; ++i) {
        const int dim = (step + i) % Shape::kPlanes * Shape::kUnits +
                        (step + i) / Shape::kPlanes * 16 + static_cast<int>(threadIdx.x % 32) / 4;
        body(dim, i, c);
        body(dim + 8, i, 2 + c);
    }
}

// A warp's zeros for the queries of a row of padding.
template <typename Shape>
__device__ void store_zeros(const RowsView& to, int64_t at, int n_queries) {
    for (int i = threadIdx.x % 32; i < n_queries * Shape::kHeadDim; i += 32) {
        store_value(to.data, to.dtype, at + i, 0.0f);
    }
}

// The sums of a chunk: kOut steps from `step` on, and with the first of them those of the weights.
template <typename Shape, int kOut>
__device__ void store_partial(const AttentionCall& call, const Partials& partials,
                              const RunningSums<Shape, 1, kOut>& sums,
                              const SplitItem<Shape, false>& item, int64_t row, int step,
                              int n_queries) {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int c = 0; c < 2; ++c) {
        const int query = 2 * (lane % 4) + c;
        if (query >= n_queries) continue;
        const int64_t index =
            partials.index(row, item.first_head + query, call.n_heads, item.chunk);
        if (step == 0 && lane < 4) {
            partials.sums[index] = make_float2(sums.maximum[0][c], sums.weight[0][c]);
        }
        float* values = partials.values + index * Shape::kHeadDim;
        each_dimension<Shape, kOut>(
            step, c, [&](int dim, int i, int e) { values[dim] = sums.out[i][0][e]; });
    }
}

// The finished outputs of a warp's kOut steps from `step` on; out(i, e) over weight[c].
template <typename Shape, int kOut, typename Out>
__device__ void store_outputs(const RowsView& to, int64_t at, int n_queries, int step,
                              const float (&weight)[2], const Out& out) {
#pragma unroll
    for (int c = 0; c < 2; ++c) {
        const int query = 2 * (static_cast<int>(threadIdx.x) % 4) + c;
        if (query >= n_queries) continue;
        const float divisor = weight[c] * kWeightFactor;
        each_dimension<Shape, kOut>(step, c, [&](int dim, int i, int e) {
            store_value(to.data, to.dtype, at + query * Shape::kHeadDim + dim, out(i, e) / divisor);
        });
    }
}

}  // namespace quarot::kernels::cuda
