// Products of many tokens with groups of 128 columns on both sides, exact: each group's integer sum
// is scaled and added in fp32, in order,
//
//   y += (sum * scale of the row) * scale of the token
//
// which keeps the ordinary arithmetic units busier than the tensor cores. So the latter make, of a
// group,
//
//   d = f sum + start
//
// by operands f (w - zero), signed bytes, and one more step of 32 columns for the start of a row:
// what the bias of the tokens' codes adds is taken off, a power of two is added that keeps d
// positive. The bits of d then are the subnormal float d 2^-149, which no instruction has to
// convert, and with s = scale of the row times a power of two fma(d, s, -start s) is sum * scale,
// rounded once: three operations an element. A row whose scale leaves no room for the power of two
// has its sums converted instead.
//
// A tile is as in linear_tile.cu, of three blocks of rows for three warpgroups, so that two of them
// add while the products of the third run. A stage of the ring is one group and brings its factors.
#include "kernels/cuda/device/griddep.cuh"
#include "kernels/cuda/device/wgmma.cuh"
#include "kernels/cuda/linear_kernels.h"
#include "kernels/cuda/linear_tile.cuh"

namespace quarot::kernels::cuda {

namespace {

// Behind the tile's own memory: operand B of the starts, then for each stage scales and sums of the
// rows and scales of the tokens. A lane reads tokens 8 n + 2 (lane % 4) and the next: those of a
// lane lie side by side, and the pitch puts the four lanes into different banks.
struct GroupTile : Tile<128, 5, 1, 1, 64, 2, 1, 3> {
    static constexpr int kBlockBytes = 64 * 4;  // scales or sums of a block of rows
    static constexpr int kRowBytes = kWarpgroups * kBlockBytes, kLanePitch = kTokens + 32;
    static constexpr int kFactorStage = 2 * kRowBytes + 4 * kLanePitch;
    static constexpr int kStarts = (kSums + 16 + 1023) / 1024 * 1024;
    static constexpr int kGroups = kStarts + kTokenBytes;
    static constexpr int kGroupSharedBytes = kGroups + kStages * kFactorStage + 1024;
    static constexpr int kGatherThreads = 64;
    static constexpr int kArrivals = 1 + kGatherThreads / 32 * kWarpArrivals;
    static constexpr int kOfThread = kTokens / 2;  // outputs of a thread
    static constexpr int kProducerRegisters = 32, kConsumerRegisters = 160;
    static_assert(kGroupSharedBytes <= 232448);
};
using T = GroupTile;

// d 2^-149, times scale * kRowPower / f, times scale * kTokenPower is sum times both scales.
constexpr float kRowPower = 0x1p118f, kTokenPower = 0x1p31f;
// Scales of rows for which these powers change no digit. Scales of tokens are below 2^97.
constexpr float kLeastScale = 0x1p-95f, kScaleLimit = 0x1p9f;
// A start is so many units without the row's sum, a unit 16 * the bias of the tokens' codes.
constexpr int32_t kStartUnits = 1024;

// How groups differ from whole rows.
struct GroupProblem {
    TileProblem tile;
    int n_groups;             // of a row, of either side
    int gather;               // groups of a token that are loaded together: 1, 2 or 4
    int shift;                // 4 - bits of a weight; f = 16 << shift
    int32_t unit;             // of starts
    float row_power;          // kRowPower / f
    float start_power;        // -kStartUnits unit 2^-149 row_power
    uint32_t nibbles, signs;  // masks; from memory, since two literals make two operations
};

__device__ uint32_t factors_of(uint32_t shared, int stage) {
    return shared + T::kGroups + stage * T::kFactorStage;
}

__device__ void init_group_barriers(uint32_t shared) {
    for (int s = 0; s < T::kStages; ++s) {
        barrier_init(shared + T::kFull + 8 * s, T::kArrivals);
        barrier_init(shared + T::kEmpty + 8 * s, 4 * T::kWarpgroups * kWarpArrivals);
    }
    for (int b = 0; b < T::kWarpgroups * T::kPieces; ++b) {
        barrier_init(shared + T::kResidual + 8 * b, 1);
    }
    barrier_init_fence();
}

// One thread: weights with their scales and sums.
__device__ void produce_weights(const GroupProblem& g, uint32_t shared) {
    const TileProblem& p = g.tile;
    const Schedule<T> schedule(p);
    RingCursor<T> at{0, 1};
    for (int tile = schedule.first; tile < schedule.n_tiles; tile += schedule.step) {
        const Place place = schedule.place(tile);
        const TilePart& part = p.parts[place.part];
        for (int k = 0; k < p.stages; ++k, at.advance()) {
            const uint32_t full = shared + T::kFull + 8 * at.stage;
            const uint32_t to = shared + at.stage * T::kStageBytes + T::kTokenBytes;
            barrier_wait(shared + T::kEmpty + 8 * at.stage, at.parity);
            barrier_expect(full, T::kStageBytes + 2 * T::kRowBytes);
            const uint32_t factors = factors_of(shared, at.stage);
            for (int b = 0; b < T::kWarpgroups; ++b) {
                const int64_t from = min(place.block + b, part.row_blocks - 1);
                copy_run(to + b * T::kUnitBytes, part.units + (from * p.stages + k) * T::kUnitBytes,
                         T::kUnitBytes, full);
                const int64_t first = (from * g.n_groups + k) * 64;
                copy_run(factors + b * T::kBlockBytes, part.factors.row_scales + first,
                         T::kBlockBytes, full);
                copy_run(factors + T::kRowBytes + b * T::kBlockBytes, part.factors.row_sums + first,
                         T::kBlockBytes, full);
            }
        }
    }
}

// One thread: the codes of the tokens.
__device__ void produce_tokens(const TileProblem& p, uint32_t shared) {
    const Schedule<T> schedule(p);
    RingCursor<T> at{0, 1};
    wait_for_predecessor();
    for (int tile = schedule.first; tile < schedule.n_tiles; tile += schedule.step) {
        const int token = schedule.place(tile).token;
        for (int k = 0; k < p.stages; ++k, at.advance()) {
            barrier_wait(shared + T::kEmpty + 8 * at.stage, at.parity);
            copy_box<1>(shared + at.stage * T::kStageBytes, &p.tokens, k * 128, token,
                        shared + T::kFull + 8 * at.stage);
        }
    }
}

// Four-byte words side by side, which a predecessor of this kernel may have written.
template <int kRun>
__device__ __forceinline__ void load_run(uint32_t (&to)[kRun], const void* from) {
    static_assert(kRun == 1 || kRun == 2 || kRun == 4);
    if constexpr (kRun == 1) {
        asm volatile("ld.global.u32 %0, [%1];" : "=r"(to[0]) : "l"(from) : "memory");
    } else if constexpr (kRun == 2) {
        asm volatile("ld.global.v2.u32 {%0, %1}, [%2];"
                     : "=r"(to[0]), "=r"(to[1])
                     : "l"(from)
                     : "memory");
    } else {
        asm volatile("ld.global.v4.u32 {%0, %1, %2, %3}, [%4];"
                     : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                     : "l"(from)
                     : "memory");
    }
}

// Two warps: the factors of the tokens, which lie a row of groups apart. A thread loads kRun groups
// of its tokens together, while the consumers still have a ring of stages to do.
template <int kRun>
struct TokenGather {
    const GroupProblem& g;
    static constexpr int kOfThread = T::kTokens / T::kGatherThreads;
    const uint32_t thread = threadIdx.x % T::kGatherThreads;
    uint32_t scales[kOfThread][kRun];

    __device__ explicit TokenGather(const GroupProblem& problem) : g(problem) {}
    __device__ void request(int first_token, int group) {
        const FactorSource& from = g.tile.parts[0].factors;
#pragma unroll
        for (int i = 0; i < kOfThread; ++i) {
            const int token = first_token + static_cast<int>(thread) + i * T::kGatherThreads;
            const int64_t at =
                static_cast<int64_t>(min(token, g.tile.n_tokens - 1)) * g.n_groups + group;
            load_run(scales[i], from.token_scales + at);
        }
    }
    __device__ void write(uint32_t to, int in_run) const {
        to += thread % 8 / 2 * T::kLanePitch + 4 * (thread / 8 * 2 + thread % 2);
#pragma unroll
        for (int i = 0; i < kOfThread; ++i) {
            const float scale = __uint_as_float(scales[i][in_run]) * kTokenPower;
            asm volatile("st.shared.f32 [%0], %1;" ::"r"(to + i * T::kGatherThreads), "f"(scale)
                         : "memory");
        }
    }
};

template <int kRun>
__device__ void produce_token_factors(const GroupProblem& g, uint32_t shared) {
    const TileProblem& p = g.tile;
    const Schedule<T> schedule(p);
    RingCursor<T> at{0, 1};
    TokenGather<kRun> gather(g);
    wait_for_predecessor();
    for (int tile = schedule.first; tile < schedule.n_tiles; tile += schedule.step) {
        const int token = schedule.place(tile).token;
        for (int k = 0; k < p.stages; k += kRun) {
            gather.request(token, k);
#pragma unroll
            for (int j = 0; j < kRun; ++j, at.advance()) {
                barrier_wait(shared + T::kEmpty + 8 * at.stage, at.parity);
                gather.write(factors_of(shared, at.stage) + 2 * T::kRowBytes, j);
                __syncwarp();
                if (kWarpArrivals == 32 || threadIdx.x % 32 == 0) {
                    barrier_arrive(shared + T::kFull + 8 * at.stage);
                }
            }
        }
    }
}

// Operand B of the step that adds starts, the same for every token: (16 h + l) unit is made of h in
// columns 0 to 15 of operand A and of l in column 16.
__device__ void write_start_operand(uint32_t shared, uint32_t unit) {
    for (uint32_t chunk = threadIdx.x; chunk < T::kTokens * 8; chunk += T::kThreads) {
        const uint32_t token = chunk / 8, at = chunk % 8;
        const uint32_t rest = at == 0 ? 0x01010101u * unit : 0, first = at == 1 ? unit : rest;
        asm volatile("st.shared.v4.u32 [%0], {%1, %2, %2, %2};" ::"r"(
                         shared + T::kStarts + token * 128 + ((at ^ token % 8) << 4)),
                     "r"(first), "r"(rest)
                     : "memory");
    }
    fence_for_copy_engine();
}

// A thread's part of a unit as operands A of two steps of 32 columns, f (w - zero). kShort: here
// and below, weights of 4 bits and tokens of at most 4.
template <bool kShort>
__device__ __forceinline__ void widen_signed(uint32_t (&a)[8], uint32_t from,
                                             const GroupProblem& g) {
    const uint4 four = load_shared(from);
    uint32_t words[4] = {four.x, four.y, four.z, four.w};
#pragma unroll
    for (int j = 0; j < 4; ++j) {
        if constexpr (!kShort) words[j] <<= g.shift;
        a[j] = (words[j] << 4 & g.nibbles) ^ g.signs;
        a[4 + j] = (words[j] & g.nibbles) ^ g.signs;
    }
}

// A thread's two rows in one group.
struct GroupRows {
    float scale[2];
    int32_t start[2];  // in units

    __device__ GroupRows(uint32_t factors, int row, int shift) {
#pragma unroll
        for (int h = 0; h < 2; ++h) {
            int32_t sum;
            const uint32_t at = factors + 4 * (row + 8 * h);
            asm volatile("ld.shared.f32 %0, [%1];" : "=f"(scale[h]) : "r"(at) : "memory");
            asm volatile("ld.shared.s32 %0, [%1];" : "=r"(sum) : "r"(at + T::kRowBytes) : "memory");
            start[h] = kStartUnits - (sum << shift);
        }
    }
    // For the powers of two, in both rows.
    __device__ bool has_room() const {
        return fminf(fabsf(scale[0]), fabsf(scale[1])) >= kLeastScale &&
               fmaxf(fabsf(scale[0]), fabsf(scale[1])) < kScaleLimit;
    }
};

// y += product(d, row, scale of the token); y[4 n + 2 h + i] and d alike are row + 8 h, token 8 n +
// i.
template <class Product>
__device__ __forceinline__ void add_scaled(float (&y)[T::kOfThread],
                                           const int32_t (&d)[T::kOfThread], uint32_t tokens,
                                           const Product& product) {
#pragma unroll
    for (int j = 0; j < T::kOfThread / 8; ++j) {
        const uint4 four = load_shared(tokens + 16 * j);
        const uint32_t scales[4] = {four.x, four.y, four.z, four.w};
#pragma unroll
        for (int e = 0; e < 8; ++e) {
            const float scale = __uint_as_float(scales[e / 4 * 2 + e % 2]);
            float& to = y[8 * j + e];
            to = __fadd_rn(to, product(d[8 * j + e], e / 2 % 2, scale));
        }
    }
}

__device__ __forceinline__ void add_group(float (&y)[T::kOfThread],
                                          const int32_t (&d)[T::kOfThread], uint32_t tokens,
                                          const GroupRows& rows, const GroupProblem& g) {
    if (__all_sync(~0u, rows.has_room())) {
        const float scale[2] = {rows.scale[0] * g.row_power, rows.scale[1] * g.row_power};
        const float start[2] = {rows.scale[0] * g.start_power, rows.scale[1] * g.start_power};
        add_scaled(y, d, tokens, [&](int32_t sum, int h, float token) {
            return __fmul_rn(__fmaf_rn(__int_as_float(sum), scale[h], start[h]), token);
        });
    } else {
        add_scaled(y, d, tokens, [&](int32_t sum, int h, float token) {
            const int32_t exact = (sum - kStartUnits * g.unit) >> (4 + g.shift);
            const float part = __fmul_rn(__int2float_rn(exact), rows.scale[h]);
            return __fmul_rn(part, token * (1.0f / kTokenPower));
        });
    }
}

// d of a group. kShort: a start's units fit two digits of operand A.
template <bool kShort>
__device__ __forceinline__ void multiply_group(int32_t (&d)[T::kOfThread],
                                               const uint32_t (&a)[2][8], const GroupRows& rows,
                                               uint64_t tokens, uint64_t starts, int32_t unit) {
    uint32_t digits[4];
    if constexpr (kShort) {
#pragma unroll
        for (int h = 0; h < 2; ++h) {
            digits[h] = 0x01010101u * static_cast<uint32_t>(rows.start[h] >> 4);
            digits[2 + h] = rows.start[h] & 15;
        }
    } else {
#pragma unroll
        for (int i = 0; i < T::kOfThread; ++i) d[i] = rows.start[i / 2 % 2] * unit;
    }
    wgmma_fence();
    if constexpr (kShort) wgmma_u8(d, digits, starts, 0);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
        wgmma_s8u8(d, a[half], tokens + 4 * half, 1);
        wgmma_s8u8(d, a[half] + 4, tokens + 4 * half + 2, 1);
    }
    wgmma_commit();
    wgmma_wait<0>();
}

template <bool kShort>
__device__ void consume(const GroupProblem& g, uint32_t shared) {
    const TileProblem& p = g.tile;
    // Known to be the same in all lanes: descriptors of operands are numbers of a warp.
    const int warpgroup = __shfl_sync(~0u, static_cast<int>(threadIdx.x) / 128 - 1, 0);
    const int thread = threadIdx.x % 128;
    const int row = 64 * warpgroup + 16 * (thread / 32) + thread % 32 / 4;
    const uint64_t starts = swizzled_operand(shared + T::kStarts);
    const Schedule<T> schedule(p);
    Pieces<T> pieces{p, shared, warpgroup};
    RingCursor<T> at;
    for (int tile = schedule.first; tile < schedule.n_tiles; tile += schedule.step) {
        Place place = schedule.place(tile);
        place.block += warpgroup;
        const TilePart& part = p.parts[place.part];
        if (part.elements.accumulate && part.elements.dtype != DType::F32 && thread == 0) {
            pieces.request_first(place);
        }
        float y[T::kOfThread] = {};
        for (int k = 0; k < p.stages; ++k, at.advance()) {
            barrier_wait(shared + T::kFull + 8 * at.stage, at.parity);
            const uint32_t stage = shared + at.stage * T::kStageBytes;
            const uint32_t unit = stage + T::kTokenBytes + warpgroup * T::kUnitBytes + thread * 16;
            const uint32_t factors = factors_of(shared, at.stage);
            const GroupRows rows(factors, row, g.shift);
            uint32_t a[2][8];
            widen_signed<kShort>(a[0], unit, g);
            widen_signed<kShort>(a[1], unit + 2048, g);
            int32_t d[T::kOfThread];
            multiply_group<kShort>(d, a, rows, swizzled_operand(stage), starts, g.unit);
            add_group(y, d, factors + 2 * T::kRowBytes + thread % 4 * T::kLanePitch, rows, g);
            release_stage<T>(shared, at.stage, thread % 32);
        }
        const ThreadRows rows(part, place.block);
        const auto block = [&](int n, float(&out)[2][2]) {
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                out[i / 2][i % 2] = __fadd_rn(y[n / 2 + i], rows.factors[i / 2].bias);
            }
        };
        store_tile<T>(pieces, block, rows.first, place);
    }
    if (thread == 0) wait_stores();
}

template <bool kShort>
__global__ void __launch_bounds__(T::kThreads, 1)
    linear_groups(const __grid_constant__ GroupProblem problem) {
    extern __shared__ uint8_t memory[];
    const uint32_t shared = (shared_address(memory) + 1023) & ~1023u;
    if (threadIdx.x == 0) init_group_barriers(shared);
    if constexpr (kShort) write_start_operand(shared, problem.unit);
    let_successor_start();
    __syncthreads();
    if (threadIdx.x < 128) {
        asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(T::kProducerRegisters));
        if (threadIdx.x == 0) produce_weights(problem, shared);
        if (threadIdx.x == 32) produce_tokens(problem.tile, shared);
        if (threadIdx.x >= 64) {
            if (problem.gather == 4) {
                produce_token_factors<4>(problem, shared);
            } else if (problem.gather == 2) {
                produce_token_factors<2>(problem, shared);
            } else {
                produce_token_factors<1>(problem, shared);
            }
        }
    } else {
        asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(T::kConsumerRegisters));
        wait_for_predecessor();
        consume<kShort>(problem, shared);
    }
}

// As wide as the loads of factors may be: rows of groups and their address allow it.
int gathered_groups(const ActivationView& in) {
    const auto bits =
        reinterpret_cast<uintptr_t>(in.scales) | static_cast<uintptr_t>(4 * in.n_groups());
    return bits % 16 == 0 ? 4 : bits % 8 == 0 ? 2 : 1;
}

}  // namespace

void launch_groups(const LinearProduct& product, Stream stream) {
    const int shift = 4 - product.weight.shape.bits, unit = 16 * code_bias(product.in.bits);
    const float row_power = kRowPower / static_cast<float>(16 << shift);
    const GroupProblem problem = {
        .tile = describe<T>({&product, 1}),
        .n_groups = static_cast<int>(product.in.n_groups()),
        .gather = gathered_groups(product.in),
        .shift = shift,
        .unit = unit,
        .row_power = row_power,
        .start_power = -static_cast<float>(kStartUnits * unit) * 0x1p-126f * (row_power * 0x1p-23f),
        .nibbles = 0xF0F0F0F0u,
        .signs = 0x80808080u};
    launch("linear_groups", shift == 0 && unit <= 128 ? linear_groups<true> : linear_groups<false>,
           {.grid = static_cast<unsigned>(
                min(tiles_of<T>(problem.tile), current_device().multiprocessors)),
            .block = T::kThreads,
            .shared_bytes = T::kGroupSharedBytes},
           stream, problem);
}

}  // namespace quarot::kernels::cuda
