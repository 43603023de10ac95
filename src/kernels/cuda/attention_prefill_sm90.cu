// Attention of sequences with several new tokens by products of warpgroups (compute capability
// 9.0a).
//
// A CTA owns 128 queries of one KV head: consecutive tokens of one sequence, the query heads that
// share the KV head side by side. A producer warpgroup turns each tile of 64 positions into halves
// in a ring in shared memory, once for all queries. Two consumer warpgroups own 64 queries each:
// queries and weights are operand a from registers, K and V operand b; one computes weights while
// the other's products run.
//
// Formulas, and the order of every sum, are those of attend_tile (attention_tile.cuh), so that the
// bits are those of split contexts.
#include "kernels/cuda/attention_prefill.cuh"
#include "kernels/cuda/device/async_copy.cuh"
#include "kernels/cuda/device/griddep.cuh"
#include "kernels/cuda/device/half_wgmma.cuh"
#include "kernels/cuda/device/mbarrier.cuh"
#include "kernels/cuda/device/tma.cuh"
#include "kernels/cuda/device/wgmma.cuh"
#include "kernels/cuda/launch.cuh"

namespace quarot::kernels::cuda {

namespace {

constexpr int kConsumers = 2;  // warpgroups
constexpr int kConsumerWarps = 4 * kConsumers;
constexpr int kConsumerThreads = 128 * kConsumers;
constexpr int kThreads = 128 + kConsumerThreads;
constexpr int kQueries = 64 * kConsumers;
constexpr int kStages = 3;  // of either ring in shared memory
constexpr int kProducerRegisters = 88;
constexpr int kConsumerRegisters = 208;
// Named barriers.
constexpr int kQueriesReady = 1;
constexpr int kCodesRead = 2;

// ---------------------------------------------------------------- shared memory

// Factors of a tile's positions, those of 2 i and 2 i + 1 side by side: bytes from kFactorsAt.
constexpr int kKeysAt = 0;          // float4: scales, zeros
constexpr int kValuesAt = 512;      // float4: inverses, rests
constexpr int kExponentsAt = 1024;  // float2
constexpr int kZerosAt = 1280;      // float2
constexpr int kFactorBytes = 2048;  // stages keep the swizzle's alignment

// A tile as halves: K, then V, then factors of positions. K and V lie in columns of 64 elements, a
// row of 128 bytes a position, 16-byte pieces swizzled. Columns of K follow the order in which
// attend_tile adds dimensions, those of V the dimensions.
template <typename Shape>
struct Stage {
    static constexpr int kColumnBytes = kTileTokens * 128;
    static constexpr int kPartBytes = Shape::kHeadDim / 64 * kColumnBytes;
    static constexpr int kFactorsAt = 2 * kPartBytes;
    static constexpr int kBytes = kFactorsAt + kFactorBytes;

    static __device__ uint32_t piece_at(int row, int piece) {
        return piece / 8 * kColumnBytes + row * 128 + 16 * (piece % 8 ^ row % 8);
    }
};

// Three pieces: the ring of halves, sums of finished chunks, a ring of coded tiles as the cache has
// them.
template <typename Shape>
struct Memory {
    static constexpr int kTotalsAt = kStages * Stage<Shape>::kBytes;
    static constexpr int kTotals = Shape::kHeadDim / 2;  // floats a thread
    static constexpr int kCodesAt = kTotalsAt + kTotals * kConsumerThreads * 4;
    static constexpr int kCodeBytes = Shape::kCoded ? kStages * Shape::kTileBytes : 0;
    // The swizzle wants stages aligned to 1024.
    static constexpr int kSharedBytes = 1024 + kCodesAt + kCodeBytes;
};

struct Barriers {
    uint64_t full[kStages];   // halves are there
    uint64_t empty[kStages];  // every consumer has read them
    uint64_t codes[kStages];  // codes are there
};

// The place of a tile in the ring and the parity of its turn there.
struct Turn {
    int stage = 0;
    uint32_t parity = 0;

    __device__ void next() {
        if (++stage == kStages) {
            stage = 0;
            parity ^= 1;
        }
    }
};

// Tiles of 64 positions that some query sees, counted from position 0.
struct TileRange {
    int first, end, last_position;
};

__device__ TileRange tile_range(const Range& seen) {
    const int first = seen.first / kTileTokens;
    return {first, seen.last < 0 ? first : seen.last / kTileTokens + 1, seen.last};
}

// ---------------------------------------------------------------- the producer

// The tiles of a KV head in order. The next one's page is looked up ahead.
struct TileWalk {
    const KvBatch& batch;
    const std::byte* cache;  // of the layer and KV head, page 0
    int64_t page_bytes;
    int tile_bytes, tiles_per_page;
    int sequence;
    int tile, end;
    int page = 0;

    __device__ TileWalk(const AttentionCall& call, int of_sequence, int kv_head,
                        const TileRange& tiles)
        : batch(call.batch),
          cache(call.kv.memory + call.kv.tile_at(call.layer, 0, kv_head, 0)),
          tile_bytes(static_cast<int>(call.kv.tile_bytes)),
          tiles_per_page(static_cast<int>(call.kv.tiles_per_page())),
          sequence(of_sequence),
          tile(tiles.first),
          end(tiles.end) {
        page_bytes = int64_t{call.kv.n_kv_heads} * tiles_per_page * tile_bytes;
        look_up();
    }
    __device__ bool done() const { return tile >= end; }
    __device__ const std::byte* next() {
        const std::byte* memory = cache + page * page_bytes + tile % tiles_per_page * tile_bytes;
        ++tile;
        look_up();
        return memory;
    }

  private:
    __device__ void look_up() {
        if (!done()) page = batch.page(sequence, tile / tiles_per_page);
    }
};

// A thread's share of a coded tile in registers: of position thread % 64 every second piece of K
// and V, and the scale and zero point of K (first 64 threads) or V (the others). Keys by channel
// become themselves on the way, so that a product with them is a score.
template <typename Shape>
struct CodedShare {
    static constexpr int kPieces = Shape::kUnits / 8;  // 16 bytes each, of a row
    static constexpr int kMine = kPieces / 2;

    uint4 keys[kMine], values[kMine];
    float scale, zero;

    __device__ __forceinline__ void load(const std::byte* tile) {
        const int row = threadIdx.x % 64, part = threadIdx.x / 64 % 2;
#pragma unroll
        for (int i = 0; i < kMine; ++i) {
            const int piece = swizzled_piece(row, part + 2 * i, Shape::kRowBytes);
            const std::byte* from = tile + row * Shape::kRowBytes + 16 * piece;
            keys[i] = *reinterpret_cast<const uint4*>(from);
            values[i] = *reinterpret_cast<const uint4*>(from + Shape::kPartBytes);
        }
        if (Shape::kByChannel && part == 0) return;
        const std::byte* factors = tile + part * Shape::kPartBytes;
        scale = *reinterpret_cast<const float*>(factors + Shape::kScalesAt + 4 * row);
        zero = *reinterpret_cast<const int16_t*>(factors + Shape::kZerosAt + 2 * row);
    }

    // `tile`: as in load. `present`: the position exists.
    __device__ __forceinline__ void store(std::byte* stage, const std::byte* tile,
                                          const TileConstants& constants, bool present) const {
        const int row = threadIdx.x % 64, part = threadIdx.x / 64 % 2;
#pragma unroll
        for (int i = 0; i < kMine; ++i) {
            const int piece = part + 2 * i;
            uint32_t a[Shape::kPlanes][4];
            unpack_piece(a, keys[i], constants.base, constants.k_low, constants.k_high);
            if constexpr (Shape::kByChannel) make_keys(a, tile, row, piece);
            store_piece(stage, row, a, [&](int plane) {
                return 2 * (piece / 2 * Shape::kPlanes + plane) + piece % 2;
            });
            unpack_piece(a, values[i], constants.base, constants.v_low, constants.v_high);
            store_piece(stage + Stage<Shape>::kPartBytes, row, a,
                        [&](int plane) { return plane * kPieces + piece; });
        }
        store_factors(stage, row, part, constants, present);
    }

  private:
    static __device__ __forceinline__ void unpack_piece(uint32_t (&a)[Shape::kPlanes][4],
                                                        const uint4& codes, uint32_t base,
                                                        uint32_t low, uint32_t high) {
        const uint32_t packed[4] = {codes.x, codes.y, codes.z, codes.w};
        unpack_block<Shape>(packed, base, low, high, a);
    }

    // By the factors of the position's block, an entry for each pair of dimensions.
    static __device__ __forceinline__ void make_keys(uint32_t (&a)[Shape::kPlanes][4],
                                                     const std::byte* tile, int row, int piece) {
        const std::byte* factors =
            tile + Shape::kScalesAt + row / Shape::kBlock * Shape::kFactorBytes + piece % 2 * 8;
#pragma unroll
        for (int i = 0; i < 4 * Shape::kPlanes; ++i) {
            const int entry = piece / 2 * Shape::kPlanes * 4 + i;
            const uint2 of = *reinterpret_cast<const uint2*>(factors + 16 * entry);
            a[i / 4][i % 4] = channel_keys(a[i / 4][i % 4], of.x, of.y);
        }
    }

    template <typename Place>
    static __device__ __forceinline__ void store_piece(std::byte* part, int row,
                                                       const uint32_t (&a)[Shape::kPlanes][4],
                                                       const Place& place) {
#pragma unroll
        for (int p = 0; p < Shape::kPlanes; ++p) {
            *reinterpret_cast<uint4*>(part + Stage<Shape>::piece_at(row, place(p))) =
                make_uint4(a[p][0], a[p][1], a[p][2], a[p][3]);
        }
    }

    // Factors of positions 2 i and 2 i + 1 lie side by side.
    __device__ __forceinline__ void store_factors(std::byte* stage, int row, int part,
                                                  const TileConstants& constants,
                                                  bool present) const {
        const auto floats = [&](int at) {
            return reinterpret_cast<float*>(stage + Stage<Shape>::kFactorsAt + at);
        };
        const int quad = row / 2 * 4 + row % 2;
        if (part == 0) {
            if (Shape::kByChannel) return;
            floats(kKeysAt)[quad] = scale;
            floats(kKeysAt)[quad + 2] = zero - constants.k_center;
        } else {
            const ValueScale value = split_scale(present ? scale : 1.0f);
            floats(kValuesAt)[quad] = value.inverse;
            floats(kValuesAt)[quad + 2] = value.rest;
            floats(kExponentsAt)[row] = value.exponent;
            floats(kZerosAt)[row] = zero - constants.v_center;
        }
    }
};

// The ring of halves at the turn of one tile.
template <typename Shape>
struct Ring {
    std::byte* memory;
    Barriers* barriers;
    Turn turn;

    __device__ std::byte* stage() const { return memory + turn.stage * Stage<Shape>::kBytes; }
    __device__ void wait_empty() const {
        barrier_wait(shared_address(&barriers->empty[turn.stage]), turn.parity ^ 1);
    }
    __device__ void wait_full() const {
        barrier_wait(shared_address(&barriers->full[turn.stage]), turn.parity);
    }
    // What this thread wrote is for the tensor cores.
    __device__ void give_full(int stage) const {
        asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
        arrive_warp(shared_address(&barriers->full[stage]));
    }
    __device__ void give_empty(int stage) const {
        arrive_warp(shared_address(&barriers->empty[stage]));
    }
    // Tiles that this warpgroup does not see.
    __device__ void pass(int tiles) {
        for (int i = 0; i < tiles; ++i) {
            wait_full();
            give_empty(turn.stage);
            next();
        }
    }
    __device__ void next() { turn.next(); }
};

// From codes to halves. The first thread asks for codes, kStages tiles ahead.
template <typename Shape>
__device__ void produce_codes(const TileConstants& constants, TileWalk walk, int last_position,
                              std::byte* codes, Ring<Shape> ring) {
    const bool requests = threadIdx.x == 0;
    const auto request = [&](int stage) {
        if (walk.done()) return;
        const uint32_t barrier = shared_address(&ring.barriers->codes[stage]);
        barrier_expect(barrier, Shape::kTileBytes);
        copy_run(shared_address(codes + stage * Shape::kTileBytes), walk.next(), Shape::kTileBytes,
                 barrier);
    };
    const int first = walk.tile;
    if (requests) {
        for (int stage = 0; stage < kStages; ++stage) request(stage);
    }
#pragma unroll 1
    for (int tile = first; tile < walk.end; ++tile) {
        const int position = tile * kTileTokens + threadIdx.x % 64;
        barrier_wait(shared_address(&ring.barriers->codes[ring.turn.stage]), ring.turn.parity);
        const std::byte* of_tile = codes + ring.turn.stage * Shape::kTileBytes;
        CodedShare<Shape> share;
        share.load(of_tile);
        ring.wait_empty();
        share.store(ring.stage(), of_tile, constants, position <= last_position);
        ring.give_full(ring.turn.stage);
        named_barrier(kCodesRead, 128);
        if (requests) request(ring.turn.stage);
        ring.next();
    }
}

// Halves are copied in place; a tile's copy goes on while the next one is asked for. Rows of V
// after the last position become zeros.
template <typename Shape>
__device__ void produce_halves(TileWalk walk, int last_position, Ring<Shape> ring) {
    constexpr int kPieces = Shape::kRowBytes / 16;
    const int row = threadIdx.x % 64;
    const int first = walk.tile;
    int before = 0;  // stage of the tile before
#pragma unroll 1
    for (int tile = first; tile < walk.end; ++tile) {
        const std::byte* from = walk.next() + row * Shape::kRowBytes;
        const bool present = tile * kTileTokens + row <= last_position;
        ring.wait_empty();
        const uint32_t to = shared_address(ring.stage());
#pragma unroll
        for (int i = 0; i < kPieces / 2; ++i) {
            const int piece = threadIdx.x / 64 % 2 + 2 * i;
            const int at = 16 * swizzled_piece(row, piece, Shape::kRowBytes);
            const uint32_t place = to + Stage<Shape>::piece_at(row, piece);
            copy_async(place, from + at);
            copy_async_or_zero(place + Stage<Shape>::kPartBytes, from + Shape::kPartBytes + at,
                               present);
        }
        end_copy_group();
        if (tile > first) {
            wait_for_copies<1>();
            ring.give_full(before);
        }
        before = ring.turn.stage;
        ring.next();
    }
    if (first < walk.end) {
        wait_for_copies<0>();
        ring.give_full(before);
    }
}

// ---------------------------------------------------------------- a consumer

// Sums of a thread's two rows, g and g + 8 of its warp (index h), over the positions of a chunk.
template <typename Shape>
struct RowSums {
    float out[Shape::kHeadDim / 2];  // as wgmma leaves them
    float maximum[2];                // whole numbers, or -inf
    // Of positions 2t and 2t + 1 of every eight.
    float weight[2][2];
    float zero[2][2];

    __device__ void clear() {
#pragma unroll
        for (int i = 0; i < Shape::kHeadDim / 2; ++i) out[i] = 0.0f;
#pragma unroll
        for (int h = 0; h < 2; ++h) {
            maximum[h] = -INFINITY;
            weight[h][0] = weight[h][1] = zero[h][0] = zero[h][1] = 0.0f;
        }
    }
};

// Over the eight positions of a row of scores, in the order of RunningSums::finish.
__device__ __forceinline__ float sum_of_row(const float (&parts)[2]) {
    float sum = parts[0] + parts[1];
    sum += __shfl_xor_sync(~0u, sum, 1);
    sum += __shfl_xor_sync(~0u, sum, 2);
    return sum;
}

// Finished chunks: values in shared memory, the rest in registers.
struct Totals {
    float* values;  // value i at [i * kConsumerThreads]
    float maximum[2] = {-INFINITY, -INFINITY};
    float weight[2] = {0.0f, 0.0f};

    // Adds a chunk and starts the next one.
    template <typename Shape>
    __device__ void add(RowSums<Shape>& sums) {
        ChunkFactors factors[2];
        float zero[2];
#pragma unroll
        for (int h = 0; h < 2; ++h) {
            factors[h] = add_chunk(maximum[h], sums.maximum[h]);
            const float newer = sum_of_row(sums.weight[h]) * factors[h].newer;
            weight[h] = __fmaf_rn(weight[h], factors[h].older, newer);
            zero[h] = Shape::kCoded ? sum_of_row(sums.zero[h]) : 0.0f;
        }
#pragma unroll
        for (int i = 0; i < Shape::kHeadDim / 2; ++i) {
            const int h = i / 2 % 2;
            const float newer = (sums.out[i] - zero[h]) * factors[h].newer;
            float& total = values[i * kConsumerThreads];
            total = __fmaf_rn(total, factors[h].older, newer);
        }
        sums.clear();
    }
};

// A tile against the 64 queries of a warpgroup. score[4 j + 2 h + i]: row h, position 8 j + 2t + i.
template <typename Shape>
struct RowStep {
    static constexpr int kScores = kTileTokens / 2;
    static constexpr int kWeightSteps = kTileTokens / 16;

    Queries<Shape, 2, false>& queries;
    const QueryColumn (&rows)[2];
    const TileConstants& constants;
    OwnKeys<Shape> own;
    int last;  // of the warp's queries
    const std::byte* stage = nullptr;
    int first_position = 0;
    float score[kScores];
    uint32_t weights[kWeightSteps][4];

    template <typename Vector>
    __device__ __forceinline__ Vector factors(int at, int j) const {
        return reinterpret_cast<const Vector*>(stage + Stage<Shape>::kFactorsAt +
                                               at)[4 * j + threadIdx.x % 4];
    }

    // Starts the product with the keys of a tile.
    __device__ __forceinline__ void multiply_keys(const std::byte* tile) {
        const uint64_t keys = swizzled_operand(shared_address(tile));
        wgmma_fence();
#pragma unroll
        for (int step = 0; step < Shape::kSteps; ++step) {
            const auto& words = queries.words[step];
            const uint32_t a[4] = {words[0][0], words[1][0], words[0][1], words[1][1]};
            const int at = step / 4 * Stage<Shape>::kColumnBytes / 16 + step % 4 * 2;
            wgmma_half<0>(score, a, keys + at, step > 0);
        }
        wgmma_commit();
    }

    // The queries are named, or ptxas (13.0) gives their registers away after the product.
    __device__ __forceinline__ void wait_for_keys() {
        wgmma_wait<0>();
        keep_in_place(score);
#pragma unroll
        for (int i = 0; i < 4 * Shape::kSteps; ++i) {
            asm volatile("" : "+r"(queries.words[i / 4][i / 2 % 2][i % 2]));
        }
    }
    // Queries see the keys of their own block as they came: products of the tile's blocks that some
    // of the warp's queries stand in are made again, by mma.sync, and taken where they belong. What
    // lies behind a query may be anything.
    __device__ __forceinline__ void take_own_keys() {
        const int lowest = own.lowest() / Shape::kBlock, highest = last / Shape::kBlock;
        if (first_position / Shape::kBlock > highest) return;
        if ((first_position + kTileTokens - 1) / Shape::kBlock < lowest) return;
        const ExactKeys<__half> keys = own.find();
#pragma unroll
        for (int j = 0; j < kTileTokens / 8; ++j) {
            const int position = first_position + 8 * j, block = position / Shape::kBlock;
            if (block < lowest || block > highest) continue;
            const __half* key = keys.key(position + static_cast<int>(threadIdx.x % 32 / 4));
            float inside[4] = {};
#pragma unroll
            for (int step = 0; step < Shape::kSteps; ++step) {
                const auto& words = queries.words[step];
                const uint32_t a[4] = {words[0][0], words[1][0], words[0][1], words[1][1]};
                const int dim = own.first_dimension(step);
                add_tile(inside, a, own.pair(key, dim), own.pair(key, dim + 8));
            }
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                const bool sees_codes = rows[i / 2].position / Shape::kBlock > block;
                if (!sees_codes) score[4 * j + i] = inside[i];
            }
        }
    }

    // While the product with the next keys goes on.
    __device__ __forceinline__ void wait_for_values(RowSums<Shape>& sums) {
        wgmma_wait<1>();
        keep_in_place(sums.out);
    }

    // From products to scores, in powers of two with the exponent of V's scale.
    __device__ __forceinline__ void scale_scores() {
        const auto each = [&](const auto& body) {
#pragma unroll
            for (int j = 0; j < kTileTokens / 8; ++j) {
                float4 key = make_float4(1.0f, 1.0f, 0.0f, 0.0f);
                float2 exponent = make_float2(0.0f, 0.0f);
                if constexpr (Shape::kCoded) exponent = factors<float2>(kExponentsAt, j);
                if constexpr (Shape::kCoded && !Shape::kByChannel) {
                    key = factors<float4>(kKeysAt, j);
                }
#pragma unroll
                for (int h = 0; h < 2; ++h) {
                    float* x = score + 4 * j + 2 * h;
                    if constexpr (Shape::kCoded && !Shape::kByChannel) {
                        x[0] = __fmaf_rn(-key.z, rows[h].sum, x[0]) * key.x;
                        x[1] = __fmaf_rn(-key.w, rows[h].sum, x[1]) * key.y;
                    }
                    body(x[0], rows[h].factor, exponent.x);
                    body(x[1], rows[h].factor, exponent.y);
                }
            }
        };
        if (constants.score_cap > 0.0f) {
            each([&](float& x, float f, float exponent) {
                x = cap_score(x * f, constants) + exponent;
            });
        } else {
            each([&](float& x, float f, float exponent) { x = __fmaf_rn(x, f, exponent); });
        }
    }

    __device__ __forceinline__ void mask() {
#pragma unroll
        for (int i = 0; i < kScores; ++i) {
            const int newest = rows[i / 2 % 2].position;
            const int position = first_position + i / 4 * 8 + threadIdx.x % 4 * 2 + i % 2;
            const bool seen = position <= newest && position > newest - constants.window;
            if (!seen) score[i] = -INFINITY;
        }
    }

    // Older sums are scaled down to the new maximum.
    __device__ __forceinline__ void raise_maximum(RowSums<Shape>& sums) {
        float larger[2];
        bool raised = false;
#pragma unroll
        for (int h = 0; h < 2; ++h) {
            float x = -INFINITY;
#pragma unroll
            for (int i = 2 * h; i < kScores; i += 4) x = fmaxf(x, fmaxf(score[i], score[i + 1]));
            x = fmaxf(x, __shfl_xor_sync(~0u, x, 1));
            x = ceilf(fmaxf(x, __shfl_xor_sync(~0u, x, 2)));
            raised |= x > sums.maximum[h];
            larger[h] = fmaxf(x, sums.maximum[h]);
        }
        if (!__any_sync(~0u, raised)) return;
        float older[2];
#pragma unroll
        for (int h = 0; h < 2; ++h) {
            older[h] = power_of_two(sums.maximum[h] - larger[h]);
            sums.maximum[h] = larger[h];
#pragma unroll
            for (int i = 0; i < 2; ++i) {
                sums.weight[h][i] *= older[h];
                sums.zero[h][i] *= older[h];
            }
        }
#pragma unroll
        for (int i = 0; i < Shape::kHeadDim / 2; ++i) sums.out[i] *= older[i / 2 % 2];
    }

    // Weights of 16 positions as operand a of the second product.
    __device__ __forceinline__ void make_weights(RowSums<Shape>& sums, int step,
                                                 uint32_t (&a)[4]) const {
#pragma unroll
        for (int j = 2 * step; j < 2 * step + 2; ++j) {
            float4 value = make_float4(1.0f, 1.0f, kWeightFactor, kWeightFactor);
            float2 zero = make_float2(0.0f, 0.0f);
            if constexpr (Shape::kCoded) {
                value = factors<float4>(kValuesAt, j);
                zero = factors<float2>(kZerosAt, j);
            }
#pragma unroll
            for (int h = 0; h < 2; ++h) {
                // Where nothing was seen yet the maximum is -inf: so are all scores.
                const float maximum = fmaxf(sums.maximum[h], -3e38f);
                const float w0 = exp2_approximate(score[4 * j + 2 * h] - maximum);
                const float w1 = exp2_approximate(score[4 * j + 2 * h + 1] - maximum);
                sums.weight[h][0] = __fmaf_rn(w0, value.x, sums.weight[h][0]);
                sums.weight[h][1] = __fmaf_rn(w1, value.y, sums.weight[h][1]);
                const uint32_t halves = pack_halves(w0 * value.z, w1 * value.w);
                if constexpr (Shape::kCoded) {
                    const float2 rounded = unpack_halves(halves);
                    sums.zero[h][0] = __fmaf_rn(rounded.x, zero.x, sums.zero[h][0]);
                    sums.zero[h][1] = __fmaf_rn(rounded.y, zero.y, sums.zero[h][1]);
                }
                a[j % 2 * 2 + h] = halves;
            }
        }
    }

    __device__ __forceinline__ void make_all_weights(RowSums<Shape>& sums) {
#pragma unroll
        for (int step = 0; step < kWeightSteps; ++step) make_weights(sums, step, weights[step]);
    }

    // Starts the product with the values of a tile.
    __device__ __forceinline__ void multiply_values(RowSums<Shape>& sums, const std::byte* tile) {
        const uint64_t values = transposed_operand(shared_address(tile) + Stage<Shape>::kPartBytes);
        keep_in_place(sums.out);
        wgmma_fence();
#pragma unroll
        for (int step = 0; step < kWeightSteps; ++step) {
            wgmma_half<1>(sums.out, weights[step], values + 128 * step, 1);
        }
        wgmma_commit();
    }
};

// Two neighbours, the first of them even.
__device__ __forceinline__ void store_pair(void* data, DType dtype, int64_t at, float x, float y) {
    if (dtype == DType::F32) {
        static_cast<float2*>(data)[at / 2] = make_float2(x, y);
    } else if (dtype == DType::F16) {
        static_cast<__half2*>(data)[at / 2] = __floats2half2_rn(x, y);
    } else {
        static_cast<__nv_bfloat162*>(data)[at / 2] = __floats2bfloat162_rn(x, y);
    }
}

// Divides by the sum of weights and writes the thread's two rows.
template <typename Shape>
__device__ void store_rows(const AttentionCall& call, const Totals& totals, const QueryTile& tile,
                           int first_row, int heads_per_kv, int kv_head) {
#pragma unroll
    for (int h = 0; h < 2; ++h) {
        const int row = first_row + 8 * h;
        if (row >= tile.n_rows) continue;
        const float weight = totals.weight[h] * kWeightFactor;
        const int64_t token = tile.first_token + row / heads_per_kv;
        const int64_t head = kv_head * heads_per_kv + row % heads_per_kv;
        const int64_t at = token * call.out.stride + head * Shape::kHeadDim + threadIdx.x % 4 * 2;
#pragma unroll 8
        for (int j = 0; j < Shape::kHeadDim / 8; ++j) {
            float pair[2];
#pragma unroll
            for (int i = 0; i < 2; ++i) {
                const float value = totals.values[(4 * j + 2 * h + i) * kConsumerThreads];
                // Only padding has no weight.
                pair[i] = weight == 0.0f ? 0.0f : value / weight;
            }
            store_pair(call.out.data, call.out.dtype, at + 8 * j, pair[0], pair[1]);
        }
    }
}

// Adds the tiles `own`, at least one. The product with the next tile's keys follows that with this
// tile's values without a branch between: ptxas serialises products that are under way on one path
// only. After the last tile its own keys are multiplied again, for nothing.
template <typename Shape>
__device__ __forceinline__ void walk_tiles(RowSums<Shape>& sums, Totals& totals,
                                           RowStep<Shape> step, const Range& seen,
                                           const TileRange& own, Ring<Shape>& ring) {
    int i = own.first;
    ring.wait_full();
    step.stage = ring.stage();
    step.multiply_keys(step.stage);
#pragma unroll 1
    do {
        const int position = i * kTileTokens, stage = ring.turn.stage;
        step.wait_for_keys();
        step.first_position = position;
        if constexpr (Shape::kByChannel) step.take_own_keys();
        step.scale_scores();
        const bool masked = position + kTileTokens - 1 > seen.lowest_query ||
                            position <= seen.last - step.constants.window;
        if (masked) step.mask();
        step.raise_maximum(sums);
        step.make_all_weights(sums);
        const bool last = i + 1 == own.end;
        const std::byte* const values = step.stage;
        ring.next();
        if (!last) {
            ring.wait_full();
            step.stage = ring.stage();
        }
        step.multiply_values(sums, values);
        step.multiply_keys(step.stage);
        step.wait_for_values(sums);
        if (!last) ring.give_empty(stage);
        if (last || (position + kTileTokens) % kChunkTokens == 0) totals.add(sums);
        ++i;
    } while (i < own.end);
    step.wait_for_keys();
    ring.give_empty((ring.turn.stage + kStages - 1) % kStages);
}

template <typename Shape>
__device__ void consume(const AttentionCall& call, const TileConstants& constants,
                        const QueryTile& tile, int heads_per_kv, int kv_head,
                        QueryColumn (*columns)[16], Range* ranges, OwnPlace* places,
                        float* totals_memory, Ring<Shape> ring) {
    const int warp = threadIdx.x / 32 - 4, lane = threadIdx.x % 32;
    const int warp_row = tile.first_row + 16 * warp;
    Queries<Shape, 2, false> queries;
    load_queries(
        queries, columns[warp], call.q.data, call.q.dtype, constants.score_factor,
        [&](int i) -> QueryPlace {
            const int row = warp_row + i;
            if (row >= tile.n_rows) return {};
            const int64_t token = tile.first_token + row / heads_per_kv;
            const int64_t head = kv_head * heads_per_kv + row % heads_per_kv;
            return {token * call.q.stride + head * Shape::kHeadDim, call.batch.positions[token]};
        });
    ranges[warp] = seen_by_warp(columns[warp], call.window);
    named_barrier(kQueriesReady, kThreads);
    const TileRange tiles = tile_range(seen_by_all<kConsumerWarps>(ranges));
    const Range mine = seen_by_all<4>(ranges + warp / 4 * 4);
    const QueryColumn rows[2] = {columns[warp][lane / 4], columns[warp][lane / 4 + 8]};

    Totals totals{totals_memory + threadIdx.x - 128};
    for (int i = 0; i < Shape::kHeadDim / 2; ++i) totals.values[i * kConsumerThreads] = 0.0f;
    RowSums<Shape> sums;
    sums.clear();
    const TileRange own = tile_range(mine);
    if (own.first < own.end) {
        const OwnKeys<Shape> keys(call, places[warp],
                                  {tile.sequence, kv_head, ranges[warp].lowest_token});
        ring.pass(own.first - tiles.first);
        walk_tiles(sums, totals, {queries, rows, constants, keys, ranges[warp].last}, mine, own,
                   ring);
        ring.pass(tiles.end - own.end);
    } else {
        ring.pass(tiles.end - tiles.first);
    }
    let_successor_start();
    store_rows<Shape>(call, totals, tile, warp_row + lane / 4, heads_per_kv, kv_head);
}

template <typename Shape>
__global__ void __launch_bounds__(kThreads, 1)
    attend_prefill_sm90_kernel(const __grid_constant__ AttentionCall call,
                               const __grid_constant__ TileConstants constants, int heads_per_kv) {
    extern __shared__ std::byte memory[];
    __shared__ QueryColumn columns[kConsumerWarps][16];
    __shared__ Range ranges[kConsumerWarps];
    __shared__ OwnPlace places[kConsumerWarps];
    __shared__ Barriers barriers;
    wait_for_predecessor();
    const int kv_head = blockIdx.x % call.kv.n_kv_heads;
    // The last tokens of a sequence see most: they come first.
    const int tile_index = (gridDim.x - 1 - blockIdx.x) / call.kv.n_kv_heads;
    const QueryTile tile = find_tile<kQueries>(call.batch, heads_per_kv, tile_index);
    if (tile.sequence < 0) return;
    if (threadIdx.x == 0) {
        for (int i = 0; i < kStages; ++i) {
            barrier_init(shared_address(&barriers.full[i]), 4 * kWarpArrivals);
            barrier_init(shared_address(&barriers.empty[i]), kConsumerWarps * kWarpArrivals);
            barrier_init(shared_address(&barriers.codes[i]), 1);
        }
        barrier_init_fence();
    }
    __syncthreads();
    const uint32_t to_aligned = (1024 - shared_address(memory) % 1024) % 1024;
    std::byte* const shared = memory + to_aligned;
    const Ring<Shape> ring{shared, &barriers, {}};
    if (threadIdx.x < 128) {
        asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kProducerRegisters));
        named_barrier(kQueriesReady, kThreads);
        const TileRange tiles = tile_range(seen_by_all<kConsumerWarps>(ranges));
        const TileWalk walk(call, tile.sequence, kv_head, tiles);
        if constexpr (Shape::kCoded) {
            produce_codes<Shape>(constants, walk, tiles.last_position,
                                 shared + Memory<Shape>::kCodesAt, ring);
        } else {
            produce_halves<Shape>(walk, tiles.last_position, ring);
        }
    } else {
        asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kConsumerRegisters));
        auto* totals = reinterpret_cast<float*>(shared + Memory<Shape>::kTotalsAt);
        consume<Shape>(call, constants, tile, heads_per_kv, kv_head, columns, ranges, places,
                       totals, ring);
    }
}

template <typename Shape>
void launch_prefill(const AttentionCall& call, Stream stream) {
    const auto heads_per_kv = static_cast<int>(call.n_heads / call.kv.n_kv_heads);
    // Every sequence may end in a tile that is not full.
    const int64_t tiles = call.batch.n_tokens * heads_per_kv / kQueries + call.batch.n_sequences;
    const LaunchShape shape{.grid = dim3(static_cast<unsigned>(tiles * call.kv.n_kv_heads)),
                            .block = dim3(kThreads),
                            .shared_bytes = Memory<Shape>::kSharedBytes};
    launch("attend_prefill_sm90_kernel", attend_prefill_sm90_kernel<Shape>, shape, stream, call,
           make_tile_constants(call), heads_per_kv);
}

}  // namespace

void attend_prefill_sm90(const AttentionCall& call, Stream stream) {
    with_tile_shape(call.kv, [&]<typename Shape>(Shape) { launch_prefill<Shape>(call, stream); });
}

}  // namespace quarot::kernels::cuda
