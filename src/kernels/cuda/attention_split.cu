// Attention of one token a row over contexts that are split in chunks (tensor cores).
//
// A warp owns one chunk of one KV head and up to 8 of the query heads that share it. Tiles of K and
// V come into its own ring in shared memory; warps never meet. Items are numbered chunk by chunk,
// so that all warps of a CTA have work or none has.
#include "kernels/cuda/attention_tile.cuh"
#include "kernels/cuda/device/async_copy.cuh"
#include "kernels/cuda/device/griddep.cuh"
#include "kernels/cuda/device/mbarrier.cuh"
#include "kernels/cuda/launch.cuh"

namespace quarot::kernels::cuda {

namespace {

// Rings of an SM's warps fill its shared memory; the CTA is small so that tails are short.
template <typename Shape>
struct SplitTuning {
    static constexpr int kWarps = Shape::kTileBytes <= 10 * 1024   ? 4
                                  : Shape::kTileBytes <= 20 * 1024 ? 2
                                                                   : 1;
    static constexpr int kStages = Shape::kTileBytes <= 6 * 1024 ? 3 : 2;
    static constexpr int kRingBytes = kStages * Shape::kTileBytes;
    static constexpr int kSharedBytes = kWarps * kRingBytes;
    static constexpr int kCtas = 12 / kWarps;  // of an SM: bounds the registers
};

// The tiles of a chunk that a row sees.
struct ChunkTiles {
    const std::byte* cache = nullptr;  // of the layer and KV head, page 0
    int64_t page_bytes = 0;
    int tiles_per_page = 1;
    int first = 0;  // tile index, from position 0
    int count = 0;
    int page = 0;  // lane i: page of tile first + i
};

// Positions first .. last.
__device__ ChunkTiles chunk_tiles(const AttentionCall& call, int64_t sequence, int kv_head,
                                  int first, int last) {
    const KvView& kv = call.kv;
    ChunkTiles tiles;
    tiles.cache = kv.memory + kv.tile_at(call.layer, 0, kv_head, 0);
    tiles.tiles_per_page = static_cast<int>(kv.tiles_per_page());
    tiles.page_bytes = kv.n_kv_heads * tiles.tiles_per_page * kv.tile_bytes;
    tiles.first = first / kTileTokens;
    tiles.count = last / kTileTokens - tiles.first + 1;
    const int lane = threadIdx.x % 32;
    if (lane < tiles.count) {
        tiles.page = call.batch.page(sequence, (tiles.first + lane) / tiles.tiles_per_page);
    }
    return tiles;
}

// Asks for tile `i` of the chunk; positions after `last` become zeros where V is not coded.
template <typename Shape>
__device__ __forceinline__ void request_tile(const ChunkTiles& tiles, int i, int last,
                                             uint32_t to) {
    const int64_t page = __shfl_sync(~0u, tiles.page, i);
    const int tile = tiles.first + i;
    const std::byte* from = tiles.cache + page * tiles.page_bytes +
                            tile % tiles.tiles_per_page * int64_t{Shape::kTileBytes};
    const int present = last - tile * kTileTokens;  // rows 0 .. present hold something
    constexpr int kPieces = Shape::kTileBytes / 16;
#pragma unroll 9
    for (int piece = threadIdx.x % 32; piece < kPieces; piece += 32) {
        if constexpr (Shape::kCoded) {
            copy_async(to + 16 * piece, from + 16 * piece);
        } else {
            const int row = (16 * piece - Shape::kPartBytes) / Shape::kRowBytes;
            copy_async_or_zero(to + 16 * piece, from + 16 * piece, row <= present);
        }
    }
}

template <typename Shape>
__device__ void store_partial(const AttentionCall& call, const Partials& partials,
                              const RunningSums<Shape, 1>& sums, int64_t row, int first_head,
                              int n_queries, int chunk) {
    const int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
#pragma unroll
    for (int c = 0; c < 2; ++c) {
        const int query = 2 * t + c;
        if (query >= n_queries) continue;
        const int64_t index = partials.index(row, first_head + query, call.n_heads, chunk);
        if (g == 0) partials.sums[index] = make_float2(sums.maximum[0][c], sums.weight[0][c]);
        float* values = partials.values + index * Shape::kHeadDim;
#pragma unroll
        for (int i = 0; i < Shape::kSteps; ++i) {
            const int dim = i % Shape::kPlanes * Shape::kUnits + i / Shape::kPlanes * 16 + g;
            values[dim] = sums.out[i][0][c];
            values[dim + 8] = sums.out[i][0][2 + c];
        }
    }
}

template <typename Shape>
__global__ void __launch_bounds__(32 * SplitTuning<Shape>::kWarps,
                                  bounded_ctas(SplitTuning<Shape>::kCtas))
    attend_split_kernel(const __grid_constant__ AttentionCall call,
                        const __grid_constant__ TileConstants constants, Partials partials,
                        SplitRows rows, int heads_per_kv) {
    using Tuning = SplitTuning<Shape>;
    extern __shared__ __align__(128) std::byte shared[];
    __shared__ QueryColumn columns[Tuning::kWarps][8];
    let_successor_start();
    wait_for_predecessor();
    const SplitRow row = split_row(call.batch, rows, blockIdx.y);
    if (row.position < 0) return;
    const int warp = threadIdx.x / 32;
    const int groups = (heads_per_kv + 7) / 8, items = call.kv.n_kv_heads * groups;
    const int item = blockIdx.x * Tuning::kWarps + warp;
    const int kv_head = item % items / groups, group = item % groups;
    const int seen = first_seen(row.position, call.window);
    const int chunk = item / items;
    const int first = max(chunk * kChunkTokens, seen);
    const int last = min((chunk + 1) * kChunkTokens - 1, row.position);
    if (first > last) return;

    const ChunkTiles tiles = chunk_tiles(call, row.sequence, kv_head, first, last);
    std::byte* ring = shared + warp * Tuning::kRingBytes;
    const auto request = [&](int i, std::byte* to) {
        if (i < tiles.count) {
            request_tile<Shape>(tiles, i, row.position, shared_address(to));
        }
        end_copy_group();
    };
#pragma unroll 1
    for (int i = 0; i < Tuning::kStages; ++i) request(i, ring + i * Shape::kTileBytes);
    const int first_head = kv_head * heads_per_kv + 8 * group;
    const int n_queries = min(8, heads_per_kv - 8 * group);
    Queries<Shape, 1, false> queries;
    load_queries(queries, columns[warp], call.q.data, call.q.dtype, constants.score_factor,
                 [&](int i) -> QueryPlace {
                     if (i >= n_queries) return {};
                     const int64_t head = first_head + i;
                     return {row.token * call.q.stride + head * Shape::kHeadDim, row.position};
                 });
    RunningSums<Shape, 1> sums;
    sums.clear();
    int stage = 0;
#pragma unroll 1
    for (int i = 0; i < tiles.count; ++i) {
        wait_for_copies<Tuning::kStages - 1>();
        __syncwarp();
        const int tile = tiles.first + i, position = tile * kTileTokens;
        const bool masked = position + kTileTokens > row.position || position < seen;
        std::byte* memory = ring + stage * Shape::kTileBytes;
        attend_tile(sums, queries, constants, memory, position, row.position, masked);
        __syncwarp();
        request(i + Tuning::kStages, memory);
        stage = stage + 1 == Tuning::kStages ? 0 : stage + 1;
    }
    sums.finish();
    store_partial(call, partials, sums, blockIdx.y, first_head, n_queries, chunk);
}

template <typename Shape>
void launch_split(const AttentionCall& call, const Partials& partials, SplitRows rows,
                  int64_t n_rows, Stream stream) {
    using Tuning = SplitTuning<Shape>;
    const auto heads_per_kv = static_cast<int>(call.n_heads / call.kv.n_kv_heads);
    const int64_t heads = (heads_per_kv + 7) / 8 * call.kv.n_kv_heads;
    const int64_t items = heads * partials.max_chunks;
    const LaunchShape shape{
        .grid = dim3(static_cast<unsigned>((items + Tuning::kWarps - 1) / Tuning::kWarps),
                     static_cast<unsigned>(n_rows)),
        .block = dim3(32 * Tuning::kWarps),
        .shared_bytes = Tuning::kSharedBytes};
    launch("attend_split_kernel", attend_split_kernel<Shape>, shape, stream, call,
           make_tile_constants(call), partials, rows, heads_per_kv);
}

}  // namespace

void attend_split(const AttentionCall& call, const Partials& partials, SplitRows rows,
                  int64_t n_rows, Stream stream) {
    with_tile_shape(call.kv, [&]<typename Shape>(Shape) {
        launch_split<Shape>(call, partials, rows, n_rows, stream);
    });
}

}  // namespace quarot::kernels::cuda
