// Attention of one token a row over contexts in chunks (tensor cores).
//
// A warp owns one KV head and up to 8 of the query heads that share it, and of the context one
// chunk, or all chunks where rows and heads alone fill the device; then it adds them up itself, as
// combine_chunks would. Tiles of K and V come into its own ring in shared memory; warps never meet.
// Items are numbered chunk by chunk, so that all warps of a CTA have work or none has.
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

// The tiles of a warp's part of the context.
struct WarpTiles {
    const std::byte* cache = nullptr;  // of the layer and KV head, page 0
    const int32_t* pages = nullptr;    // of the sequence
    uint32_t page_bytes = 0;
    int tiles_per_page = 1;
    int first = 0;  // tile index, from position 0
    int count = 0;
    int page = 0;  // lane l: page of tile first + i for the last i that find_pages was told and l

    // Positions first_position .. last_position.
    __device__ WarpTiles(const AttentionCall& call, int64_t sequence, int kv_head,
                         int first_position, int last_position) {
        const KvView& kv = call.kv;
        cache = kv.memory + kv.tile_at(call.layer, 0, kv_head, 0);
        pages = call.batch.pages + call.batch.first_page[sequence];
        tiles_per_page = static_cast<int>(kv.tiles_per_page());
        page_bytes = static_cast<uint32_t>(kv.n_kv_heads * tiles_per_page * kv.tile_bytes);
        first = first_position / kTileTokens;
        count = last_position / kTileTokens - first + 1;
    }

    // Tiles i .. i + 31 may be asked for; i is a multiple of 32.
    __device__ void find_pages(int i) {
        const int at = i + static_cast<int>(threadIdx.x % 32);
        if (at < count) page = pages[(first + at) / tiles_per_page];
    }
    // The first tiles, so many, hold positions before `end` alone.
    __device__ int whole_before(int64_t end) const {
        return static_cast<int>(max(end, int64_t{0}) / kTileTokens) - first;
    }
    __device__ const std::byte* address(int i, int64_t tile_bytes) const {
        const auto of_page = static_cast<uint32_t>(__shfl_sync(~0u, page, i % 32));
        return cache + uint64_t{of_page} * page_bytes + (first + i) % tiles_per_page * tile_bytes;
    }
};

// Asks for tile `i`; positions after `last` become zeros where V is not coded.
template <typename Shape>
__device__ __forceinline__ void request_tile(const WarpTiles& tiles, int i, int last, uint32_t to) {
    const std::byte* from = tiles.address(i, Shape::kTileBytes);
    const int present = last - (tiles.first + i) * kTileTokens;  // rows 0 .. present hold something
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

// Calls body(dim, i, e) for this lane's values of column c: out[i][e].
template <typename Shape, typename Body>
__device__ __forceinline__ void each_dimension(int c, const Body& body) {
#pragma unroll
    for (int i = 0; i < Shape::kSteps; ++i) {
        const int dim = i % Shape::kPlanes * Shape::kUnits + i / Shape::kPlanes * 16 +
                        static_cast<int>(threadIdx.x % 32) / 4;
        body(dim, i, c);
        body(dim + 8, i, 2 + c);
    }
}

// The sums of all chunks of a warp that has them all, in the order and by the operations of
// combine_chunks.
template <typename Shape>
struct ChunkTotal {
    float out[Shape::kSteps][4] = {};
    float maximum[2] = {-INFINITY, -INFINITY};
    float weight[2] = {};

    __device__ __forceinline__ void add(const RunningSums<Shape, 1>& sums) {
        ChunkFactors f[2];
#pragma unroll
        for (int c = 0; c < 2; ++c) {
            f[c] = add_chunk(maximum[c], sums.maximum[0][c]);
            weight[c] = __fmaf_rn(weight[c], f[c].older, sums.weight[0][c] * f[c].newer);
        }
#pragma unroll
        for (int i = 0; i < Shape::kSteps; ++i) {
#pragma unroll
            for (int e = 0; e < 4; ++e) {
                out[i][e] =
                    __fmaf_rn(out[i][e], f[e % 2].older, sums.out[i][0][e] * f[e % 2].newer);
            }
        }
    }
    // `at`: of the first of the warp's heads.
    __device__ void store(const RowsView& to, int64_t at, int n_queries) const {
#pragma unroll
        for (int c = 0; c < 2; ++c) {
            const int query = 2 * (static_cast<int>(threadIdx.x) % 4) + c;
            if (query >= n_queries) continue;
            const float divisor = weight[c] * kWeightFactor;
            each_dimension<Shape>(c, [&](int dim, int i, int e) {
                store_value(to.data, to.dtype, at + query * Shape::kHeadDim + dim,
                            out[i][e] / divisor);
            });
        }
    }
};

template <typename Shape>
__device__ void store_zeros(const RowsView& to, int64_t at, int n_queries) {
    for (int i = threadIdx.x % 32; i < n_queries * Shape::kHeadDim; i += 32) {
        store_value(to.data, to.dtype, at + i, 0.0f);
    }
}

template <typename Shape>
__device__ void store_partial(const AttentionCall& call, const Partials& partials,
                              const RunningSums<Shape, 1>& sums, int64_t row, int first_head,
                              int n_queries, int chunk) {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int c = 0; c < 2; ++c) {
        const int query = 2 * (lane % 4) + c;
        if (query >= n_queries) continue;
        const int64_t index = partials.index(row, first_head + query, call.n_heads, chunk);
        if (lane < 4) partials.sums[index] = make_float2(sums.maximum[0][c], sums.weight[0][c]);
        float* values = partials.values + index * Shape::kHeadDim;
        each_dimension<Shape>(c, [&](int dim, int i, int e) { values[dim] = sums.out[i][0][e]; });
    }
}

// kWhole: a warp has all chunks.
template <typename Shape, bool kWhole>
__global__ void __launch_bounds__(32 * SplitTuning<Shape>::kWarps,
                                  bounded_ctas(SplitTuning<Shape>::kCtas))
    attend_split_kernel(const __grid_constant__ AttentionCall call,
                        const __grid_constant__ TileConstants constants, Partials partials,
                        SplitRows rows, int heads_per_kv) {
    using Tuning = SplitTuning<Shape>;
    extern __shared__ __align__(128) std::byte shared[];
    __shared__ QueryColumn columns[Tuning::kWarps][8];
    let_successor_start();
    // Positions and pages are there since before the step.
    const SplitRow row = split_row(call.batch, rows, blockIdx.y);
    const int warp = threadIdx.x / 32;
    const int groups = (heads_per_kv + 7) / 8, items = call.kv.n_kv_heads * groups;
    const int item = blockIdx.x * Tuning::kWarps + warp;
    const int kv_head = item % items / groups, group = item % groups;
    const int first_head = kv_head * heads_per_kv + 8 * group;
    const int n_queries = min(8, heads_per_kv - 8 * group);
    const auto out_at = [&] {
        return row.token * call.out.stride + int64_t{first_head} * Shape::kHeadDim;
    };
    const int seen = first_seen(row.position, call.window);
    const int chunk = kWhole ? seen / kChunkTokens : item / items;
    const int first = max(chunk * kChunkTokens, seen);
    const int last = kWhole ? row.position : min((chunk + 1) * kChunkTokens - 1, row.position);
    if (row.position < 0 || first > last || (kWhole && item >= items)) {
        wait_for_predecessor();
        if (kWhole && row.padding && item < items)
            store_zeros<Shape>(call.out, out_at(), n_queries);
        return;
    }
    WarpTiles tiles(call, row.sequence, kv_head, first, last);
    tiles.find_pages(0);

    std::byte* ring = shared + warp * Tuning::kRingBytes;
    const auto request = [&](int i, std::byte* to) {
        if (i < tiles.count) {
            if (kWhole && i > 0 && i % 32 == 0) tiles.find_pages(i);
            request_tile<Shape>(tiles, i, row.position, shared_address(to));
        }
        end_copy_group();
    };
    // Older positions are there since before the step, too.
    const int n_older =
        min(max(tiles.whole_before(row.position - call.batch.n_tokens), 0), Tuning::kStages);
#pragma unroll 1
    for (int i = 0; i < n_older; ++i) request(i, ring + i * Shape::kTileBytes);
    wait_for_predecessor();
#pragma unroll 1
    for (int i = n_older; i < Tuning::kStages; ++i) request(i, ring + i * Shape::kTileBytes);
    Queries<Shape, 1, false> queries;
    load_queries(queries, columns[warp], call.q.data, call.q.dtype, constants.score_factor,
                 [&](int i) -> QueryPlace {
                     if (i >= n_queries) return {};
                     const int64_t head = first_head + i;
                     return {row.token * call.q.stride + head * Shape::kHeadDim, row.position};
                 });
    RunningSums<Shape, 1> sums;
    sums.clear();
    ChunkTotal<Shape> total;
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
        constexpr int kChunkTiles = kChunkTokens / kTileTokens;
        if (kWhole && ((tile + 1) % kChunkTiles == 0 || i + 1 == tiles.count)) {
            sums.finish();
            total.add(sums);
            sums.clear();
        }
    }
    if constexpr (kWhole) {
        total.store(call.out, out_at(), n_queries);
    } else {
        sums.finish();
        store_partial(call, partials, sums, blockIdx.y, first_head, n_queries, chunk);
    }
}

// The warps of all rows and heads fill the device, or there is but one chunk.
template <typename Shape>
bool takes_whole_rows(const Partials& partials, int64_t heads, int64_t n_rows) {
    using Tuning = SplitTuning<Shape>;
    const int64_t resident = int64_t{Tuning::kCtas} * Tuning::kWarps;
    return partials.max_chunks == 1 ||
           n_rows * heads >= resident * current_device().multiprocessors;
}

template <typename Shape>
void launch_split(const AttentionCall& call, const Partials& partials, SplitRows rows,
                  int64_t n_rows, Stream stream) {
    using Tuning = SplitTuning<Shape>;
    const auto heads_per_kv = static_cast<int>(call.n_heads / call.kv.n_kv_heads);
    const int64_t heads = (heads_per_kv + 7) / 8 * call.kv.n_kv_heads;
    const bool whole = takes_whole_rows<Shape>(partials, heads, n_rows);
    const int64_t items = heads * (whole ? 1 : partials.max_chunks);
    const LaunchShape shape{
        .grid = dim3(static_cast<unsigned>((items + Tuning::kWarps - 1) / Tuning::kWarps),
                     static_cast<unsigned>(n_rows)),
        .block = dim3(32 * Tuning::kWarps),
        .shared_bytes = Tuning::kSharedBytes};
    launch("attend_split_kernel",
           whole ? attend_split_kernel<Shape, true> : attend_split_kernel<Shape, false>, shape,
           stream, call, make_tile_constants(call), partials, rows, heads_per_kv);
    if (!whole) combine_chunks(call, partials, rows, n_rows, kWeightFactor, stream);
}

}  // namespace

void attend_rows(const AttentionCall& call, const Partials& partials, SplitRows rows,
                 int64_t n_rows, Stream stream) {
    with_tile_shape(call.kv, [&]<typename Shape>(Shape) {
        launch_split<Shape>(call, partials, rows, n_rows, stream);
    });
}

}  // namespace quarot::kernels::cuda
