// Attention of one token a row where there are few items: four warps share a chunk (tensor cores).
//
// What a lone warp needs for a tile is latency of its own instructions. Here each warp of a CTA
// takes the scores of 16 of a tile's 64 positions and a quarter of the dimensions of V. Scores meet
// in shared memory, then every warp computes all weights: every sum has the terms and the order of
// attend_tile. A chunk's tiles are requested at once.
#include "kernels/cuda/attention_split.cuh"
#include "kernels/cuda/device/griddep.cuh"
#include "kernels/cuda/device/mbarrier.cuh"
#include "kernels/cuda/launch.cuh"

namespace quarot::kernels::cuda {

namespace {

constexpr int kTeamWarps = 4;
constexpr int kTeamThreads = 32 * kTeamWarps;

template <typename Shape>
constexpr int kTeamBytes = kChunkTiles* Shape::kTileBytes;

// Teams of a multiprocessor that are worth it: with more of them lone warps hide one another's
// latency, and each computes its weights once. 113 KB of shared memory are half of what compute
// capability 9.0 has.
template <typename Shape>
constexpr int kTeams = kTeamBytes<Shape> < 40 * 1024    ? 3
                       : kTeamBytes<Shape> < 108 * 1024 ? 2
                                                        : 1;

// The steps of 16 dimensions of V that a warp adds up. They lie in whole blocks, or in one block's
// neighbouring planes.
template <typename Shape>
struct OwnSteps {
    static constexpr int kCount = Shape::kSteps / kTeamWarps;
    static constexpr int kPlanes = kCount < Shape::kPlanes ? kCount : Shape::kPlanes;
    static constexpr int kBlocks = kCount / kPlanes;
    static_assert(kCount * kTeamWarps == Shape::kSteps && kPlanes <= 2);
    int first;

    __device__ explicit OwnSteps(int warp) : first(warp * kCount) {}
    __device__ int block(int i) const { return first / Shape::kPlanes + i; }

    // Own planes of a register of two units; `planes` from unpack_block.
    __device__ __forceinline__ void select(const uint32_t (&planes)[Shape::kPlanes][4],
                                           uint32_t (&own)[kPlanes][4]) const {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            if constexpr (kPlanes == 1 && Shape::kPlanes > 1) {
                own[0][i] = first % 2 == 0 ? planes[0][i] : planes[1][i];
            } else {
#pragma unroll
                for (int p = 0; p < kPlanes; ++p) own[p][i] = planes[p][i];
            }
        }
    }
    // Brings the own pair of four planes to the place of the first pair.
    __device__ __forceinline__ void bring_down(uint32_t (&packed)[4]) const {
        if constexpr (Shape::kPlanes == 4) {
#pragma unroll
            for (uint32_t& word : packed) word >>= first % 4 / 2 * 8;
        }
    }
};

template <typename Shape>
using TeamSums = RunningSums<Shape, 1, OwnSteps<Shape>::kCount>;
template <typename Shape>
using TeamStep = TileStep<Shape, 1, false>;

// A tile's scores, those of a warp in a row of it.
struct TeamScores {
    float4 of[kTeamWarps][32];
};

// Each warp its 16 positions, then all of them.
template <typename Shape>
__device__ __forceinline__ void find_scores(TeamStep<Shape>& step, TeamScores& shared,
                                            uint32_t codes, bool masked) {
    static_assert(TeamStep<Shape>::kSubtiles == kTeamWarps);
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    float own[1][1][4];
    if constexpr (Shape::kByChannel) {
        step.multiply_block(own, warp, 1, codes);
    } else {
        step.multiply_keys(own[0], warp, codes);
    }
    if (step.constants.score_cap > 0.0f) {
        step.template scale_scores<true>(own[0], warp, step.column_factors());
    } else {
        step.template scale_scores<false>(own[0], warp, step.column_factors());
    }
    if (masked) step.mask(own[0], warp);
    const float(&mine)[4] = own[0][0];
    shared.of[warp][lane] = make_float4(mine[0], mine[1], mine[2], mine[3]);
    __syncthreads();
#pragma unroll
    for (int sub = 0; sub < kTeamWarps; ++sub) {
        const float4 four = shared.of[sub][lane];
        step.score[sub][0][0] = four.x;
        step.score[sub][0][1] = four.y;
        step.score[sub][0][2] = four.z;
        step.score[sub][0][3] = four.w;
    }
}

// The second product's own steps. `codes`: V's. Positions after the last weigh nothing.
template <typename Shape>
__device__ __forceinline__ void add_own_values(const TeamStep<Shape>& step, TeamSums<Shape>& sums,
                                               const OwnSteps<Shape>& steps, uint32_t codes) {
    using Own = OwnSteps<Shape>;
    const int row = threadIdx.x % 8 + threadIdx.x % 32 / 16 * 8, half = threadIdx.x / 8 % 2;
    const TileConstants& constants = step.constants;
#pragma unroll
    for (int sub = 0; sub < kTeamWarps; ++sub) {
        if (step.first_position + 16 * sub > step.last) break;
        uint32_t b[1][2];
        step.make_weights(sums, sub, b);
#pragma unroll
        for (int i = 0; i < Own::kBlocks; ++i) {
            const int piece = swizzled_piece(row, 2 * steps.block(i) + half, Shape::kRowBytes);
            uint32_t packed[4], planes[Shape::kPlanes][4], own[Own::kPlanes][4];
            load_tiles_transposed(packed, codes + (16 * sub + row) * Shape::kRowBytes + 16 * piece);
            steps.bring_down(packed);
            unpack_block<Shape>(packed, constants.base, constants.v_low, constants.v_high, planes);
            steps.select(planes, own);
#pragma unroll
            for (int p = 0; p < Own::kPlanes; ++p) {
                add_tile(sums.out[i * Own::kPlanes + p][0], own[p], b[0][0], b[0][1]);
            }
        }
    }
}

// Leaves the sums of n_tiles of the item's chunk. All are requested, a group of copies each.
template <typename Shape>
__device__ __forceinline__ void attend_chunk(TeamSums<Shape>& sums, const OwnSteps<Shape>& steps,
                                             const Queries<Shape, 1, false>& queries,
                                             const TileConstants& constants,
                                             const SplitItem<Shape, false>& item,
                                             const OwnKeys<Shape>& own, int first_tile, int n_tiles,
                                             uint32_t memory) {
    __shared__ TeamScores scores[2];  // in turns: a tile's are read while the next are written
    sums.clear();
#pragma unroll 1
    for (int i = 0; i < n_tiles; ++i) {
        wait_for_copies<kChunkTiles - 1>();
        end_copy_group();
        __syncthreads();
        const uint32_t codes = memory + i * Shape::kTileBytes;
        const int position = (first_tile + i) * kTileTokens;
        TeamStep<Shape> step{queries, constants, {codes}, position, item.row.position, own};
        find_scores(step, scores[i % 2], codes, item.masks(position));
        step.raise_maximum(sums);
        add_own_values(step, sums, steps, codes + Shape::kPartBytes);
    }
    sums.finish();
}

template <typename Shape>
__global__ void __launch_bounds__(kTeamThreads, bounded_ctas(kTeams<Shape>))
    attend_team_kernel(const __grid_constant__ AttentionCall call,
                       const __grid_constant__ TileConstants constants, Partials partials,
                       SplitRows rows) {
    extern __shared__ __align__(128) std::byte shared[];
    __shared__ QueryColumn columns[kTeamWarps][8];
    __shared__ OwnPlace places[kTeamWarps];
    let_successor_start();
    const int warp = threadIdx.x / 32;
    const SplitItem<Shape, false> item(call, rows, blockIdx.y, blockIdx.x);
    const bool alone = partials.max_chunks == 1;
    if (!item.has_work()) {
        wait_for_predecessor();
        if (alone && item.row.padding && warp == 0)
            store_zeros<Shape>(call.out, item.place(call.out), item.n_queries);
        return;
    }
    ItemTiles tiles(call, item);
    tiles.find_pages(0);
    const uint32_t memory = shared_address(shared);
    const auto request = [&](int i) {
        if (i < tiles.count) {
            request_tile<Shape, kTeamThreads>(tiles, i, item.row.position,
                                              memory + i * Shape::kTileBytes);
        }
        end_copy_group();
    };
    // Older positions are there since before the step.
    const int n_older =
        min(tiles.whole_before(item.row.position - call.batch.n_tokens), kChunkTiles);
#pragma unroll 1
    for (int i = 0; i < n_older; ++i) request(i);
    const OwnSteps<Shape> steps(warp);
    const OwnKeys<Shape> own(
        call, places[warp], {static_cast<int>(item.row.sequence), item.kv_head, item.row.position});
    Queries<Shape, 1, false> queries;
    TeamSums<Shape> sums;
#pragma unroll 1
    for (int turn = first_turn(1); turn < 2; ++turn) {
        const bool real = turn == 1;
        if (real) {
            wait_for_predecessor();
#pragma unroll 1
            for (int i = n_older; i < kChunkTiles; ++i) request(i);
        }
        load_queries(queries, columns[warp], call.q.data, call.q.dtype, constants.score_factor,
                     [&](int i) { return real ? item.query(call, i) : QueryPlace{}; });
        attend_chunk(sums, steps, queries, constants, item, own, tiles.first,
                     real ? tiles.count : 1, memory);
        const int n_queries = real ? item.n_queries : 0;
        if (alone) {
            store_outputs<Shape, OwnSteps<Shape>::kCount>(
                call.out, item.place(call.out), n_queries, steps.first, sums.weight[0],
                [&](int i, int e) { return sums.out[i][0][e]; });
        } else {
            store_partial(call, partials, sums, item, blockIdx.y, steps.first, n_queries);
        }
    }
}

template <typename Shape>
bool launch_teams(const AttentionCall& call, const Partials& partials, SplitRows rows,
                  int64_t n_rows, Stream stream) {
    const int64_t items = split_heads(call) * partials.max_chunks;
    if (items * n_rows > int64_t{kTeams<Shape>} * current_device().multiprocessors) return false;
    const LaunchShape shape{
        .grid = dim3(static_cast<unsigned>(items), static_cast<unsigned>(n_rows)),
        .block = dim3(kTeamThreads),
        .shared_bytes = kTeamBytes<Shape>,
        .overlapped = !call.all_is_new};
    if (shape.shared_bytes + 8 * 1024 > current_device().shared_bytes) return false;
    launch("attend_team_kernel", attend_team_kernel<Shape>, shape, stream, call,
           make_tile_constants(call), partials, rows);
    if (partials.max_chunks > 1) {
        combine_chunks(call, partials, rows, n_rows, kWeightFactor, stream);
    }
    return true;
}

}  // namespace

bool attend_by_teams(const AttentionCall& call, const Partials& partials, SplitRows rows,
                     int64_t n_rows, Stream stream) {
    bool launched = false;
    with_tile_shape(call.kv, [&]<typename Shape>(Shape) {
        launched = launch_teams<Shape>(call, partials, rows, n_rows, stream);
    });
    return launched;
}

}  // namespace quarot::kernels::cuda
