// Attention of sequences with several new tokens (tensor cores).
//
// A CTA owns 64 queries of one KV head: consecutive tokens of one sequence, the query heads that
// share the KV head side by side. Its warps own 16 queries each and read the same tiles of K and V,
// which come into a ring in shared memory. Sums of a chunk stay in registers; a finished chunk is
// added to the total in shared memory, so that the order of sums is that of split contexts.
#include "kernels/cuda/attention_prefill.cuh"
#include "kernels/cuda/device/async_copy.cuh"
#include "kernels/cuda/device/griddep.cuh"
#include "kernels/cuda/device/mbarrier.cuh"
#include "kernels/cuda/launch.cuh"

namespace quarot::kernels::cuda {

namespace {

constexpr int kWarps = 4;
constexpr int kThreads = 32 * kWarps;
constexpr int kGroups = 2;  // of 8 queries, a warp
constexpr int kWarpQueries = 8 * kGroups;
constexpr int kQueries = kWarps * kWarpQueries;

template <typename Shape>
struct PrefillTuning {
    static constexpr int kStages = 2;
    static constexpr int kRingBytes = kStages * Shape::kTileBytes;
    static constexpr int kValues = Shape::kSteps * kGroups * 4;
    static constexpr int kTotals = kValues + 2 * kGroups * 2;  // floats a lane
    static constexpr int kTotalBytes = kThreads * kTotals * 4;
    // Three CTAs of codes fit an SM if their queries are not in registers; not with the places of
    // keys by channel.
    static constexpr bool kSharedQueries = Shape::kCoded;
    static constexpr int kQueryWords = kSharedQueries ? Shape::kSteps * 32 : 0;  // 16 bytes each
    static constexpr int kSharedBytes = kRingBytes + kTotalBytes + kWarps * kQueryWords * 16;
    static constexpr int kCtas =
        Shape::kCoded && !Shape::kByChannel ? 3 : 2;  // of an SM: bounds the registers
};

// The warp's share of a tile's copy; positions after `last` become zeros where V is not coded.
template <typename Shape>
__device__ __forceinline__ void request_tile(const AttentionCall& call, int sequence, int kv_head,
                                             int tile, int last, uint32_t to) {
    const KvView& kv = call.kv;
    const int tiles_per_page = static_cast<int>(kv.tiles_per_page());
    const int64_t page = call.batch.page(sequence, tile / tiles_per_page);
    const std::byte* from =
        kv.memory + kv.tile_at(call.layer, page, kv_head, tile % tiles_per_page * kTileTokens);
    const int present = last - tile * kTileTokens;
#pragma unroll 5
    for (int piece = threadIdx.x; piece < Shape::kTileBytes / 16; piece += kThreads) {
        if constexpr (Shape::kCoded) {
            copy_async(to + 16 * piece, from + 16 * piece);
        } else {
            const int row = (16 * piece - Shape::kPartBytes) / Shape::kRowBytes;
            copy_async_or_zero(to + 16 * piece, from + 16 * piece, row <= present);
        }
    }
}

// What a warp has summed up over finished chunks, in shared memory: element i of lane l lies at
// floats[32 i + l]. First the values as in RunningSums, then maximum and weight of every column.
template <typename Shape>
struct Totals {
    float* floats;  // of lane 0

    __device__ float& value(int i, int n, int e, int lane) const {
        return floats[32 * ((i * kGroups + n) * 4 + e) + lane];
    }
    __device__ float& maximum(int n, int c, int lane) const {
        return floats[32 * (PrefillTuning<Shape>::kValues + 2 * n + c) + lane];
    }
    __device__ float& weight(int n, int c, int lane) const {
        return floats[32 * (PrefillTuning<Shape>::kValues + 2 * (kGroups + n) + c) + lane];
    }

    __device__ void clear() const {
        const int lane = threadIdx.x % 32;
        for (int i = 0; i < PrefillTuning<Shape>::kTotals; ++i) floats[32 * i + lane] = 0.0f;
        for (int i = 0; i < 2 * kGroups; ++i) maximum(i / 2, i % 2, lane) = -INFINITY;
    }
};

// Adds a chunk and starts the next one.
template <typename Shape>
__device__ void add_to(const Totals<Shape>& totals, RunningSums<Shape, kGroups>& sums) {
    const int lane = threadIdx.x % 32;
    sums.finish();
#pragma unroll
    for (int n = 0; n < kGroups; ++n) {
        ChunkFactors factors[2];
#pragma unroll
        for (int c = 0; c < 2; ++c) {
            float maximum = totals.maximum(n, c, lane);
            factors[c] = add_chunk(maximum, sums.maximum[n][c]);
            totals.maximum(n, c, lane) = maximum;
            float& weight = totals.weight(n, c, lane);
            weight = __fmaf_rn(weight, factors[c].older, sums.weight[n][c] * factors[c].newer);
        }
#pragma unroll
        for (int i = 0; i < Shape::kSteps; ++i) {
#pragma unroll
            for (int e = 0; e < 4; ++e) {
                const ChunkFactors& f = factors[e % 2];
                float& total = totals.value(i, n, e, lane);
                total = __fmaf_rn(total, f.older, sums.out[i][n][e] * f.newer);
            }
        }
    }
    sums.clear();
}

// Divides by the sum of weights and writes the warp's queries, one after the other: lane i takes
// dimensions i, i + 32, ...
template <typename Shape>
__device__ void store_totals(const AttentionCall& call, const Totals<Shape>& totals,
                             const QueryTile& tile, int warp_row, int heads_per_kv, int kv_head) {
    const int lane = threadIdx.x % 32;
    __syncwarp();
#pragma unroll 1
    for (int query = 0; query < kWarpQueries; ++query) {
        const int row = warp_row + query;
        if (row >= tile.n_rows) break;
        const int n = query / 8, column = query % 2, owner = query % 8 / 2;
        const float weight = totals.weight(n, column, owner) * kWeightFactor;
        const int64_t token = tile.first_token + row / heads_per_kv;
        const int64_t head = kv_head * heads_per_kv + row % heads_per_kv;
        const int64_t at = token * call.out.stride + head * Shape::kHeadDim;
#pragma unroll
        for (int dim = lane; dim < Shape::kHeadDim; dim += 32) {
            const int unit = dim % Shape::kUnits, plane = dim / Shape::kUnits;
            const int i = unit / 16 * Shape::kPlanes + plane;
            const float value = totals.value(i, n, unit / 8 % 2 * 2 + column, unit % 8 * 4 + owner);
            // Only padding has no weight.
            store_value(call.out.data, call.out.dtype, at + dim,
                        weight == 0.0f ? 0.0f : value / weight);
        }
    }
}

template <typename Shape>
__global__ void __launch_bounds__(kThreads, bounded_ctas(PrefillTuning<Shape>::kCtas))
    attend_prefill_kernel(const __grid_constant__ AttentionCall call,
                          const __grid_constant__ TileConstants constants, int heads_per_kv) {
    using Tuning = PrefillTuning<Shape>;
    extern __shared__ __align__(128) std::byte shared[];
    __shared__ QueryColumn columns[kWarps][kWarpQueries];
    __shared__ OwnPlace places[kWarps];
    wait_for_predecessor();
    // The last tokens of a sequence see most: they come first.
    const QueryTile tile =
        find_tile<kQueries>(call.batch, heads_per_kv, static_cast<int>(gridDim.x - 1 - blockIdx.x));
    if (tile.sequence < 0) return;
    const int warp = threadIdx.x / 32, kv_head = blockIdx.y;
    const int warp_row = tile.first_row + warp * kWarpQueries;
    Queries<Shape, kGroups, Tuning::kSharedQueries> queries;
    if constexpr (Tuning::kSharedQueries) {
        queries.words =
            reinterpret_cast<uint4*>(shared + Tuning::kRingBytes + Tuning::kTotalBytes) +
            warp * Tuning::kQueryWords;
    }
    load_queries(
        queries, columns[warp], call.q.data, call.q.dtype, constants.score_factor,
        [&](int i) -> QueryPlace {
            const int row = warp_row + i;
            if (row >= tile.n_rows) return {};
            const int64_t token = tile.first_token + row / heads_per_kv;
            const int64_t head = kv_head * heads_per_kv + row % heads_per_kv;
            return {token * call.q.stride + head * Shape::kHeadDim, call.batch.positions[token]};
        });
    // In shared memory, and read again for every tile: registers are for the sums.
    __shared__ Range ranges[kWarps];
    const Range& mine = ranges[warp];
    ranges[warp] = seen_by_warp(columns[warp], call.window);
    __syncthreads();
    const Range all = seen_by_all<kWarps>(ranges);
    const OwnKeys<Shape> own(call, places[warp], {tile.sequence, kv_head, mine.lowest_token});

    const uint32_t ring = shared_address(shared);
    const Totals<Shape> totals{reinterpret_cast<float*>(shared + Tuning::kRingBytes) +
                               warp * 32 * Tuning::kTotals};
    totals.clear();
    RunningSums<Shape, kGroups> sums;
    sums.clear();
    // Tiles of 64 positions, counted from position 0.
    const int first = all.first / kTileTokens,
              end = all.last < 0 ? first : all.last / kTileTokens + 1;
#pragma unroll 1
    for (int i = first; i < first + Tuning::kStages - 1; ++i) {
        if (i < end) {
            request_tile<Shape>(call, tile.sequence, kv_head, i, all.last,
                                ring + (i - first) * Shape::kTileBytes);
        }
        end_copy_group();
    }
    int stage = 0;
    bool open = false;  // the chunk holds something
#pragma unroll 1
    for (int i = first; i < end; ++i) {
        wait_for_copies<Tuning::kStages - 2>();
        __syncthreads();  // this tile is there; the stage before it is free
        const int ahead = i + Tuning::kStages - 1;
        const int free = stage == 0 ? Tuning::kStages - 1 : stage - 1;
        if (ahead < end) {
            request_tile<Shape>(call, tile.sequence, kv_head, ahead, all.last,
                                ring + free * Shape::kTileBytes);
        }
        end_copy_group();
        const int position = i * kTileTokens;
        if (position <= mine.last && position + kTileTokens > mine.first) {
            const bool masked = position + kTileTokens - 1 > mine.lowest_query ||
                                position <= mine.last - constants.window;
            attend_tile(sums, queries, constants, shared + stage * Shape::kTileBytes, position,
                        mine.last, masked, own);
            open = true;
        }
        const bool chunk_ends = (position + kTileTokens) % kChunkTokens == 0 || i + 1 == end;
        if (open && chunk_ends) {
            add_to(totals, sums);
            open = false;
        }
        stage = stage + 1 == Tuning::kStages ? 0 : stage + 1;
    }
    let_successor_start();
    store_totals(call, totals, tile, warp_row, heads_per_kv, kv_head);
}

template <typename Shape>
void launch_prefill(const AttentionCall& call, Stream stream) {
    const auto heads_per_kv = static_cast<int>(call.n_heads / call.kv.n_kv_heads);
    // Every sequence may end in a tile that is not full.
    const int64_t tiles = call.batch.n_tokens * heads_per_kv / kQueries + call.batch.n_sequences;
    const LaunchShape shape{
        .grid = dim3(static_cast<unsigned>(tiles), static_cast<unsigned>(call.kv.n_kv_heads)),
        .block = dim3(kThreads),
        .shared_bytes = PrefillTuning<Shape>::kSharedBytes};
    launch("attend_prefill_kernel", attend_prefill_kernel<Shape>, shape, stream, call,
           make_tile_constants(call), heads_per_kv);
}

}  // namespace

void attend_prefill(const AttentionCall& call, Stream stream) {
    if (current_device().compute_capability == 90) {
        attend_prefill_sm90(call, stream);
        return;
    }
    with_tile_shape(call.kv, [&]<typename Shape>(Shape) { launch_prefill<Shape>(call, stream); });
}

}  // namespace quarot::kernels::cuda
