// Attention of one token a row over contexts in chunks (tensor cores).
//
// A warp owns an item: a chunk, or all chunks where rows and heads alone fill the device; then it
// adds them up itself, as combine_chunks would. Tiles of K and V come into its own ring in shared
// memory; warps never meet. Where there are few items four warps share one (attention_team.cu).
#include "kernels/cuda/attention_split.cuh"
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
    // Of an SM: bounds the registers. Two of the largest with four warps fill its shared memory.
    static constexpr int kCtas = kWarps == 4 && Shape::kTileBytes > 9 * 1024 ? 2 : 12 / kWarps;
};

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
        store_outputs<Shape, Shape::kSteps>(to, at, n_queries, 0, weight,
                                            [&](int i, int e) { return out[i][e]; });
    }
};

// kWhole: a warp has all chunks.
template <typename Shape, bool kWhole>
__global__ void __launch_bounds__(32 * SplitTuning<Shape>::kWarps,
                                  bounded_ctas(SplitTuning<Shape>::kCtas))
    attend_split_kernel(const __grid_constant__ AttentionCall call,
                        const __grid_constant__ TileConstants constants, Partials partials,
                        SplitRows rows) {
    using Tuning = SplitTuning<Shape>;
    extern __shared__ __align__(128) std::byte shared[];
    __shared__ QueryColumn columns[Tuning::kWarps][8];
    __shared__ OwnPlace places[Tuning::kWarps];
    let_successor_start();
    const int warp = threadIdx.x / 32;
    const SplitItem<Shape, kWhole> item(call, rows, blockIdx.y,
                                        static_cast<int>(blockIdx.x) * Tuning::kWarps + warp);
    if (!item.has_work()) {
        wait_for_predecessor();
        if (kWhole && item.row.padding)
            store_zeros<Shape>(call.out, item.place(call.out), item.n_queries);
        return;
    }
    ItemTiles tiles(call, item);
    tiles.find_pages(0);
    std::byte* ring = shared + warp * Tuning::kRingBytes;
    const auto request = [&](int i, std::byte* to) {
        if (i < tiles.count) {
            if (kWhole && i > 0 && i % 32 == 0) tiles.find_pages(i);
            request_tile<Shape, 32>(tiles, i, item.row.position, shared_address(to));
        }
        end_copy_group();
    };
    // Older positions are there since before the step, too.
    const int n_older =
        min(tiles.whole_before(item.row.position - call.batch.n_tokens), Tuning::kStages);
#pragma unroll 1
    for (int i = 0; i < n_older; ++i) request(i, ring + i * Shape::kTileBytes);
    const OwnKeys<Shape> own(
        call, places[warp], {static_cast<int>(item.row.sequence), item.kv_head, item.row.position});
    wait_for_predecessor();
#pragma unroll 1
    for (int i = n_older; i < Tuning::kStages; ++i) request(i, ring + i * Shape::kTileBytes);
    Queries<Shape, 1, false> queries;
    load_queries(queries, columns[warp], call.q.data, call.q.dtype, constants.score_factor,
                 [&](int i) { return item.query(call, i); });
    RunningSums<Shape, 1> sums;
    sums.clear();
    ChunkTotal<Shape> total;
    int stage = 0;
#pragma unroll 1
    for (int i = 0; i < tiles.count; ++i) {
        wait_for_copies<Tuning::kStages - 1>();
        __syncwarp();
        const int tile = tiles.first + i, position = tile * kTileTokens;
        std::byte* memory = ring + stage * Shape::kTileBytes;
        attend_tile(sums, queries, constants, memory, position, item.row.position,
                    item.masks(position), own);
        __syncwarp();
        request(i + Tuning::kStages, memory);
        stage = stage + 1 == Tuning::kStages ? 0 : stage + 1;
        if (kWhole && ((tile + 1) % kChunkTiles == 0 || i + 1 == tiles.count)) {
            sums.finish();
            total.add(sums);
            sums.clear();
        }
    }
    if constexpr (kWhole) {
        total.store(call.out, item.place(call.out), item.n_queries);
    } else {
        sums.finish();
        store_partial<Shape, Shape::kSteps>(call, partials, sums, item, blockIdx.y, 0,
                                            item.n_queries);
    }
}

// Wide keys by channel leave no registers for the sums of all chunks.
template <typename Shape>
constexpr bool kHasWholeRows = !Shape::kByChannel || Shape::kHeadDim <= 64;

// The warps of all rows and heads fill the device, or there is but one chunk.
template <typename Shape>
bool takes_whole_rows(const Partials& partials, int64_t heads, int64_t n_rows) {
    using Tuning = SplitTuning<Shape>;
    if (!kHasWholeRows<Shape>) return false;
    const int64_t resident = int64_t{Tuning::kCtas} * Tuning::kWarps;
    return partials.max_chunks == 1 ||
           n_rows * heads >= resident * current_device().multiprocessors;
}

template <typename Shape>
void launch_split(const AttentionCall& call, const Partials& partials, SplitRows rows,
                  int64_t n_rows, Stream stream) {
    using Tuning = SplitTuning<Shape>;
    const int64_t heads = split_heads(call);
    const bool whole = takes_whole_rows<Shape>(partials, heads, n_rows);
    const int64_t items = heads * (whole ? 1 : partials.max_chunks);
    const LaunchShape shape{
        .grid = dim3(static_cast<unsigned>((items + Tuning::kWarps - 1) / Tuning::kWarps),
                     static_cast<unsigned>(n_rows)),
        .block = dim3(32 * Tuning::kWarps),
        .shared_bytes = Tuning::kSharedBytes,
        .overlapped = !call.all_is_new};
    auto kernel = attend_split_kernel<Shape, false>;
    if constexpr (kHasWholeRows<Shape>) {
        if (whole) kernel = attend_split_kernel<Shape, true>;
    }
    launch("attend_split_kernel", kernel, shape, stream, call, make_tile_constants(call), partials,
           rows);
    if (!whole) combine_chunks(call, partials, rows, n_rows, kWeightFactor, stream);
}

}  // namespace

void attend_rows(const AttentionCall& call, const Partials& partials, SplitRows rows,
                 int64_t n_rows, Stream stream) {
    if (attend_by_teams(call, partials, rows, n_rows, stream)) return;
    with_tile_shape(call.kv, [&]<typename Shape>(Shape) {
        launch_split<Shape>(call, partials, rows, n_rows, stream);
    });
}

}  // namespace quarot::kernels::cuda
