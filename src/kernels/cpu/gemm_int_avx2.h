// The integer product with vpmaddubsw: pairs of products of unsigned and signed codes are summed in
// int16 for as many steps as their widths allow, then widened.
//
// With weight codes up to w and activation codes up to a in size a step adds at most 2 w a to an
// int16. That makes 136 steps of 4-bit codes on both sides, 8 steps where either side has 8 bits.
// 8-bit codes on both sides would saturate in one: those weights are split into nibbles, whose sums
// are put together when they are widened.
//
// Groups end sums after a few steps: int_segments_avx2 takes as many of them at a time as stay
// unpacked in L1, and begins their sums at what zero points take off.
#pragma once

#include <immintrin.h>

#include "kernels/cpu/gemm_int.h"
#include "kernels/cpu/simd_avx2.h"
#include "kernels/cpu/unroll.h"

namespace quarot::kernels::cpu {

// Steps that an int16 holds.
static inline int64_t short_steps(int64_t largest_weight, int64_t largest_activation) {
    return 32767 / (2 * largest_weight * largest_activation);
}

// How the 32 outputs of one step become kParts vectors of bytes, 8 outputs each; the parts from 4
// on count sixteenfold.
struct NibbleStep {
    static constexpr int kBytes = 64, kParts = 4;
    static int64_t largest(const IntPanel&) { return 15; }
    QUAROT_INLINE static void load(const uint8_t* w, __m256i* parts) {
        const __m256i mask = _mm256_set1_epi8(15);
        const __m256i w0 = Avx2::words8(w), w1 = Avx2::words8(w + 32);
        parts[0] = _mm256_and_si256(w0, mask);
        parts[1] = _mm256_and_si256(w1, mask);
        parts[2] = _mm256_and_si256(_mm256_srli_epi16(w0, 4), mask);
        parts[3] = _mm256_and_si256(_mm256_srli_epi16(w1, 4), mask);
    }
};

struct ByteStep {
    static constexpr int kBytes = 128, kParts = 4;
    static int64_t largest(const IntPanel& panel) { return panel.largest_code; }
    QUAROT_INLINE static void load(const uint8_t* w, __m256i* parts) {
        unroll<4>([&](auto i) QUAROT_INLINE { parts[i] = Avx2::words8(w + 32 * i); });
    }
};

struct SplitStep {
    static constexpr int kBytes = 128, kParts = 8;
    static int64_t largest(const IntPanel&) { return 15; }
    QUAROT_INLINE static void load(const uint8_t* w, __m256i* parts) {
        const __m256i mask = _mm256_set1_epi8(15);
        unroll<4>([&](auto i) QUAROT_INLINE {
            const __m256i bytes = Avx2::words8(w + 32 * i);
            parts[i] = _mm256_and_si256(bytes, mask);
            parts[4 + i] = _mm256_and_si256(_mm256_srli_epi16(bytes, 4), mask);
        });
    }
};

// Calls run(step) with the step that fits the widths of the codes.
template <class Run>
static inline void with_step(const IntPanel& panel, const TokenTile& tile, const Run& run) {
    if (panel.nibbles) {
        run(NibbleStep{});
    } else if (short_steps(panel.largest_code, tile.largest_code) > 1) {
        run(ByteStep{});
    } else {
        run(SplitStep{});
    }
}

static inline __m256i word_of(const int8_t* codes) {
    int32_t word;
    std::memcpy(&word, codes, 4);
    return _mm256_set1_epi32(word);
}

static inline __m256i add_products(__m256i sum, __m256i weights, __m256i activations) {
    return _mm256_add_epi16(sum, _mm256_maddubs_epi16(weights, activations));
}

// What 8 outputs are finished with.
struct OutputLanes {
    __m256i zeros, code_sums;
    __m256 scales, bias;
    bool has_bias;
    int64_t first;

    OutputLanes(const IntPanel& panel, int64_t from)
        : zeros(Avx2::words8(panel.zeros + from)),
          code_sums(Avx2::words8(panel.code_sums + from)),
          scales(_mm256_loadu_ps(panel.scales + from)),
          bias(_mm256_setzero_ps()),
          has_bias(panel.bias != nullptr),
          first(from) {
        if (has_bias) bias = _mm256_loadu_ps(panel.bias + from);
    }
};

static inline __m256 base_lanes(const OutputLanes& lanes, const TokenTile& tile, int64_t token) {
    const __m256i zeros =
        _mm256_mullo_epi32(lanes.zeros, _mm256_set1_epi32(static_cast<int>(tile.n_inputs)));
    const __m256i sums = _mm256_sub_epi32(lanes.code_sums, zeros);
    return _mm256_mul_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(sums), lanes.scales),
                         _mm256_set1_ps(tile.bases[token]));
}

// finish_token for 8 outputs.
static inline void finish_lanes(__m256i raw, const OutputLanes& lanes, const TokenTile& tile,
                                int64_t token, const FloatOut& out, float* y) {
    __m256i acc = _mm256_sub_epi32(
        raw, _mm256_mullo_epi32(lanes.zeros, _mm256_set1_epi32(tile.offset_sums[token])));
    if (tile.offsets != nullptr) {
        acc = _mm256_sub_epi32(
            acc, _mm256_mullo_epi32(lanes.code_sums, _mm256_set1_epi32(tile.offsets[token])));
    }
    __m256 value = _mm256_mul_ps(_mm256_cvtepi32_ps(acc), lanes.scales);
    value = _mm256_mul_ps(value, _mm256_set1_ps(tile.scales[token]));
    if (tile.bases != nullptr) value = _mm256_add_ps(value, base_lanes(lanes, tile, token));
    if (lanes.has_bias) value = _mm256_add_ps(value, lanes.bias);
    y += lanes.first;
    if (out.n_outputs - lanes.first >= 8) {
        if (out.accumulate) value = _mm256_add_ps(_mm256_loadu_ps(y), value);
        _mm256_storeu_ps(y, value);
        return;
    }
    const __m256i columns = Avx2::first8(out.n_outputs - lanes.first);
    if (out.accumulate) value = _mm256_add_ps(_mm256_maskload_ps(y, columns), value);
    _mm256_maskstore_ps(y, columns, value);
}

// sums [n_tokens][32]
static inline void finish_sums(const int32_t* sums, const IntPanel& panel, const TokenTile& tile,
                               const FloatOut& out) {
    for (int64_t first = 0; first < out.n_outputs; first += 8) {
        const OutputLanes lanes(panel, first);
        for (int64_t t = 0; t < tile.n_tokens; ++t) {
            finish_lanes(Avx2::words8(sums + t * kPanelOutputs + first), lanes, tile, t, out,
                         out.data + t * out.stride);
        }
    }
}

// Some steps of a panel unpacked, a byte a code, [steps][32 outputs][4], little more than half of
// L1 at most.
constexpr int64_t kBlockSteps = 144;
// Tokens that pass over an unpacked block before the next one is unpacked.
constexpr int64_t kBlockTokens = 64;

struct PanelBlock {
    const uint8_t* codes;
    int64_t steps;
    int64_t short_steps;
    __m256i weight;  // int16: what the codes count
};

// A fence for the order of instructions: without it GCC 12 gathers the products of all tokens and
// writes their sums to memory in every step.
QUAROT_INLINE static inline __m256i at_once(__m256i sum) {
    asm("" : "+x"(sum));
    return sum;
}

// The same for a sum that stays in its register: no copies between steps.
QUAROT_INLINE static inline void add_at_once(__m256i& sum, __m256i products) {
    asm("vpaddw %1, %0, %0" : "+x"(sum) : "x"(products));
}

// T tokens times 16 outputs: 12 sums, two vectors of weights, one of activations and a product fill
// the 16 registers. Adds to sums [T][32].
template <int T>
static void sum_tile(const PanelBlock& block, const int8_t* codes, int32_t* sums) {
    const uint8_t* w = block.codes;
    const __m256i weight = block.weight;
    for (int64_t first = 0; first < block.steps; first += block.short_steps) {
        const int64_t rest = block.steps - first;
        int64_t n = rest < block.short_steps ? rest : block.short_steps;
        __m256i acc0[T], acc1[T];
        unroll<T>([&](auto t) QUAROT_INLINE { acc0[t] = acc1[t] = _mm256_setzero_si256(); });
        do {
            const __m256i w0 = Avx2::words8(w), w1 = Avx2::words8(w + 32);
            unroll<T>([&](auto t) QUAROT_INLINE {
                const __m256i x = word_of(codes + 4 * t);
                acc0[t] = at_once(add_products(acc0[t], w0, x));
                acc1[t] = at_once(add_products(acc1[t], w1, x));
            });
            w += 4 * kPanelOutputs;
            codes += 4 * kTileSlots;
        } while (--n > 0);
        unroll<T>([&](auto t) QUAROT_INLINE {
            auto* sum = reinterpret_cast<__m256i*>(sums + t * kPanelOutputs);
            sum[0] = _mm256_add_epi32(sum[0], _mm256_madd_epi16(acc0[t], weight));
            sum[1] = _mm256_add_epi32(sum[1], _mm256_madd_epi16(acc1[t], weight));
        });
    }
}

constexpr int kTokensAtOnce = 6;

template <int T>
static void sum_tile_exactly(const PanelBlock& block, const int8_t* codes, int64_t n_tokens,
                             int32_t* sums) {
    if (n_tokens == T) {
        PanelBlock upper = block;
        upper.codes += 2 * kPanelOutputs;
        sum_tile<T>(block, codes, sums);
        sum_tile<T>(upper, codes, sums + kPanelOutputs / 2);
    } else if constexpr (T > 1) {
        sum_tile_exactly<T - 1>(block, codes, n_tokens, sums);
    }
}

// codes: of the first tile from the block's first step on.
static void sum_block(const PanelBlock& block, const int8_t* codes, int64_t n_tokens,
                      int64_t tile_bytes, int32_t* sums) {
    for (int64_t tile = 0; tile < n_tokens; tile += kTileSlots, codes += tile_bytes) {
        const int64_t end = n_tokens - tile < kTileSlots ? n_tokens - tile : kTileSlots;
        for (int64_t slot = 0; slot < end; slot += kTokensAtOnce) {
            const int64_t rest = end - slot;
            sum_tile_exactly<kTokensAtOnce>(block, codes + 4 * slot,
                                            rest < kTokensAtOnce ? rest : kTokensAtOnce,
                                            sums + (tile + slot) * kPanelOutputs);
        }
    }
}

// Four parts from `kFirst` on of every step.
template <class Step, int kFirst>
static void unpack_block(const uint8_t* w, int64_t steps, uint8_t* block) {
    for (int64_t k = 0; k < steps; ++k, w += Step::kBytes, block += 4 * kPanelOutputs) {
        __m256i parts[Step::kParts];
        Step::load(w, parts);
        unroll<4>([&](auto i) QUAROT_INLINE {
            _mm256_store_si256(reinterpret_cast<__m256i*>(block) + i, parts[kFirst + i]);
        });
    }
}

// Adds the products of at most kBlockTokens tokens to sums [n_tokens][32].
template <class Step>
static void sum_panel(const IntPanel& panel, int64_t steps, const TokenTile& first_tile,
                      int64_t n_tokens, int64_t tile_bytes, int32_t* sums) {
    alignas(64) uint8_t unpacked[kBlockSteps * 4 * kPanelOutputs];
    const int64_t depth = short_steps(Step::largest(panel), first_tile.largest_code);
    const int64_t n_blocks = (steps + kBlockSteps - 1) / kBlockSteps;
    for (int64_t i = 0; i < n_blocks; ++i) {
        const int64_t k = i * steps / n_blocks, n_steps = (i + 1) * steps / n_blocks - k;
        const uint8_t* w = panel.codes + k * Step::kBytes;
        const int8_t* codes = first_tile.codes + k * 4 * kTileSlots;
        PanelBlock block{unpacked, n_steps, depth, _mm256_set1_epi16(1)};
        unpack_block<Step, 0>(w, n_steps, unpacked);
        sum_block(block, codes, n_tokens, tile_bytes, sums);
        if constexpr (Step::kParts == 8) {
            block.weight = _mm256_set1_epi16(16);
            unpack_block<Step, 4>(w, n_steps, unpacked);
            sum_block(block, codes, n_tokens, tile_bytes, sums);
        }
    }
}

static void int_panel_avx2(const IntPanel& panel, int64_t steps, const TokenTile& first_tile,
                           int64_t n_tokens, int64_t tile_bytes, const FloatOut& out) {
    alignas(64) int32_t sums[kBlockTokens * kPanelOutputs];
    for (int64_t token = 0; token < n_tokens; token += kBlockTokens) {
        const int64_t n = n_tokens - token < kBlockTokens ? n_tokens - token : kBlockTokens;
        const TokenTile tile = tile_at<Avx2>(first_tile, token, n, token / kTileSlots, tile_bytes);
        std::memset(sums, 0, static_cast<size_t>(n * kPanelOutputs) * sizeof(int32_t));
        with_step(panel, tile, [&](auto step) {
            sum_panel<decltype(step)>(panel, steps, tile, n, tile_bytes, sums);
        });
        FloatOut rows = out;
        rows.data += token * out.stride;
        finish_sums(sums, panel, tile, rows);
    }
}

// Segments of a panel unpacked one behind the other, a byte a code, [steps][32 outputs][4].
struct UnpackedSegments {
    const uint8_t* codes;
    const IntPanel* panels;  // [count]
    int64_t count;
};

// Tokens that pass over segments together, 6 x 16 outputs twice.
constexpr int kSegmentTokens = 2 * kTokensAtOnce;

// Steps for which an int16 holds products of 4-bit weights and z times the sum of the activations
// of all four inputs of a step.
static inline int64_t folded_steps(int64_t largest_activation) {
    return 32767 / ((2 + 4) * 15 * largest_activation);
}

// Products of T tokens, from `codes` on, and 16 outputs over n > 0 steps.
template <int T>
QUAROT_INLINE static inline void add_steps(const uint8_t* w, const int8_t* codes, int64_t n,
                                           __m256i* acc0, __m256i* acc1) {
    do {
        const __m256i w0 = Avx2::words8(w), w1 = Avx2::words8(w + 32);
        unroll<T>([&](auto t) QUAROT_INLINE {
            const __m256i x = word_of(codes + 4 * t);
            add_at_once(acc0[t], _mm256_maddubs_epi16(w0, x));
            add_at_once(acc1[t], _mm256_maddubs_epi16(w1, x));
        });
        w += 4 * kPanelOutputs;
        codes += 4 * kTileSlots;
    } while (--n > 0);
}

// sum (u - z) a of T tokens from `slot` on and the 16 outputs whose codes and zero points are
// given. Folded: the sums begin at -z sum a and fit int16.
template <int T, bool kFolded>
QUAROT_INLINE static inline void sum_segment(const uint8_t* w, const int32_t* zeros,
                                             const TokenTile& tile, int64_t slot, __m256i* sum0,
                                             __m256i* sum1) {
    const __m256i zero0 = Avx2::words8(zeros), zero1 = Avx2::words8(zeros + 8);
    const __m256i ones = _mm256_set1_epi16(1), none = _mm256_setzero_si256();
    const int8_t* codes = tile.codes + 4 * slot;
    __m256i acc0[T], acc1[T];
    if constexpr (kFolded) {
        // Zero points below 2^15 stand in the even words, nothing in the odd ones.
        const __m256i minus0 = _mm256_sub_epi16(none, zero0);
        const __m256i minus1 = _mm256_sub_epi16(none, zero1);
        unroll<T>([&](auto t) QUAROT_INLINE {
            const __m256i sum = _mm256_set1_epi32(tile.offset_sums[slot + t]);
            acc0[t] = _mm256_mullo_epi16(minus0, sum);
            acc1[t] = _mm256_mullo_epi16(minus1, sum);
        });
        add_steps<T>(w, codes, tile.n_steps, acc0, acc1);
        unroll<T>([&](auto t) QUAROT_INLINE {
            sum0[t] = _mm256_madd_epi16(acc0[t], ones);
            sum1[t] = _mm256_madd_epi16(acc1[t], ones);
        });
        return;
    }
    unroll<T>([&](auto t) QUAROT_INLINE {
        const __m256i sum = _mm256_set1_epi32(-tile.offset_sums[slot + t]);
        sum0[t] = _mm256_mullo_epi32(zero0, sum);
        sum1[t] = _mm256_mullo_epi32(zero1, sum);
    });
    const int64_t depth = short_steps(15, tile.largest_code);
    for (int64_t k = 0; k < tile.n_steps; k += depth) {
        const int64_t n = tile.n_steps - k < depth ? tile.n_steps - k : depth;
        unroll<T>([&](auto t) QUAROT_INLINE { acc0[t] = acc1[t] = none; });
        add_steps<T>(w + 4 * kPanelOutputs * k, codes + 4 * kTileSlots * k, n, acc0, acc1);
        unroll<T>([&](auto t) QUAROT_INLINE {
            sum0[t] = _mm256_add_epi32(sum0[t], _mm256_madd_epi16(acc0[t], ones));
            sum1[t] = _mm256_add_epi32(sum1[t], _mm256_madd_epi16(acc1[t], ones));
        });
    }
}

// finish_token's expression for 8 outputs of a token, added to sums.
template <bool kBases>
QUAROT_INLINE static inline void add_finished(__m256i exact, __m256 scales, __m256 scale,
                                              const float* base_scales, __m256 base, float* sums) {
    __m256 value = _mm256_mul_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(exact), scales), scale);
    if constexpr (kBases) {
        value = _mm256_add_ps(value, _mm256_mul_ps(_mm256_loadu_ps(base_scales), base));
    }
    _mm256_storeu_ps(sums, _mm256_add_ps(_mm256_loadu_ps(sums), value));
}

// T tokens, from `slot` of a tile on, times 16 outputs, from `output` on, of some segments. Adds
// to sums [T][32].
template <int T, bool kFolded, bool kBases>
static void add_segments(const UnpackedSegments& run, const TokenTile* tokens, int64_t slot,
                         int64_t output, float* sums) {
    const uint8_t* w = run.codes + 4 * output;
    float* const to = sums + output;
    const IntPanel* panel = run.panels;
    for (const TokenTile* const end = tokens + run.count; tokens < end; ++tokens, ++panel) {
        __m256i sum0[T], sum1[T];
        sum_segment<T, kFolded>(w, panel->zeros + output, *tokens, slot, sum0, sum1);
        // What is stored could be any of these pointers, for all that the compiler knows.
        const float *scales = panel->scales + output, *token_scales = tokens->scales + slot;
        const float* base_scales = kBases ? panel->base_scales + output : nullptr;
        const float* bases = kBases ? tokens->bases + slot : nullptr;
        w += 4 * kPanelOutputs * tokens->n_steps;
        unroll<T>([&](auto t) QUAROT_INLINE {
            const __m256 scale = _mm256_broadcast_ss(token_scales + t);
            const __m256 base = kBases ? _mm256_broadcast_ss(bases + t) : scale;
            float* const row = to + t * kPanelOutputs;
            add_finished<kBases>(sum0[t], _mm256_loadu_ps(scales), scale, base_scales, base, row);
            add_finished<kBases>(sum1[t], _mm256_loadu_ps(scales + 8), scale, base_scales + 8, base,
                                 row + 8);
        });
    }
}

template <int T, bool kFolded, bool kBases>
static void add_segments_exactly(const UnpackedSegments& run, const TokenTile* tokens, int64_t slot,
                                 float* sums) {
    if (tokens->n_tokens - slot >= T) {
        add_segments<T, kFolded, kBases>(run, tokens, slot, 0, sums);
        add_segments<T, kFolded, kBases>(run, tokens, slot, kPanelOutputs / 2, sums);
    } else if constexpr (T > 1) {
        add_segments_exactly<T - 1, kFolded, kBases>(run, tokens, slot, sums);
    }
}

// The tiles of a list, from the run's first segment on, times the run.
static void add_run(const UnpackedSegments& run, const SegmentList& list, int64_t first,
                    int64_t longest, float* sums) {
    for (int64_t t = 0; t < list.n_tiles; ++t, sums += kSegmentTokens * kPanelOutputs) {
        const TokenTile* tokens = list.tile(t) + first;
        const bool folded = longest <= folded_steps(tokens->largest_code);
        const bool bases = tokens->bases != nullptr;
        const auto add = folded  ? bases ? add_segments_exactly<kTokensAtOnce, true, true>
                                         : add_segments_exactly<kTokensAtOnce, true, false>
                          : bases ? add_segments_exactly<kTokensAtOnce, false, true>
                                 : add_segments_exactly<kTokensAtOnce, false, false>;
        for (int64_t slot = 0; slot < tokens->n_tokens; slot += kTokensAtOnce) {
            add(run, tokens, slot, sums + slot * kPanelOutputs);
        }
    }
}

// Segments of whole panels, one after the other.
static void add_panels(const SegmentList& list, float* sums) {
    for (int64_t t = 0; t < list.n_tiles; ++t, sums += kSegmentTokens * kPanelOutputs) {
        const TokenTile* tokens = list.tile(t);
        for (int64_t i = 0; i < list.count; ++i) {
            int_panel_avx2(list.panels[i], tokens[i].n_steps, tokens[i], tokens[i].n_tokens, 0,
                           {sums, kPanelOutputs, kPanelOutputs, true});
        }
    }
}

// Nibbles whose segments are short, as many at a time as fill a quarter of L1 unpacked,
// and then all tiles; others as panels.
static void int_segments_avx2(const SegmentList& list, float* sums) {
    int64_t longest = 0;
    for (int64_t i = 0; i < list.count; ++i) {
        longest = list.tokens[i].n_steps > longest ? list.tokens[i].n_steps : longest;
    }
    if (!list.panels[0].nibbles || list.tokens[0].offsets != nullptr || longest > kBlockSteps) {
        add_panels(list, sums);
        return;
    }
    alignas(64) uint8_t unpacked[kBlockSteps * 4 * kPanelOutputs];
    for (int64_t first = 0; first < list.count;) {
        int64_t steps = 0, last = first;
        for (; last < list.count &&
               (last == first || steps + list.tokens[last].n_steps <= kBlockSteps / 2);
             ++last) {
            const int64_t n = list.tokens[last].n_steps;
            unpack_block<NibbleStep, 0>(list.panels[last].codes, n,
                                        unpacked + steps * 4 * kPanelOutputs);
            steps += n;
        }
        add_run({unpacked, list.panels + first, last - first}, list, first, longest, sums);
        first = last;
    }
}

// One token times one panel, straight from the panel. Four steps at a time and each sum completed
// at once: otherwise GCC reorders a step's sums until they no longer fit into the registers.
template <class Step>
static void sum_row(const IntPanel& panel, int64_t steps, int64_t depth, const TokenTile& row,
                    __m256i* sums) {
    constexpr int kParts = Step::kParts;
    const uint8_t* w = panel.codes;
    const int8_t* codes = row.codes;
    const __m256i ones = _mm256_set1_epi16(1), sixteens = _mm256_set1_epi16(16);
    for (int64_t first = 0; first < steps; first += depth) {
        int64_t n = steps - first < depth ? steps - first : depth;
        __m256i acc[kParts];
        unroll<kParts>([&](auto i) QUAROT_INLINE { acc[i] = _mm256_setzero_si256(); });
        const auto add_step = [&]() QUAROT_INLINE {
            __m256i parts[kParts];
            Step::load(w, parts);
            const __m256i x = word_of(codes);
            unroll<kParts>(
                [&](auto i) QUAROT_INLINE { acc[i] = at_once(add_products(acc[i], parts[i], x)); });
            w += Step::kBytes;
            codes += 4;
        };
        for (; n >= 4; n -= 4) {
            unroll<4 * Step::kBytes / 64>(
                [&](auto line) QUAROT_INLINE { _mm_prefetch(w + 2048 + 64 * line, _MM_HINT_T0); });
            unroll<4>([&](auto) QUAROT_INLINE { add_step(); });
        }
        for (; n > 0; --n) add_step();
        unroll<kParts>([&](auto i) QUAROT_INLINE {
            sums[i % 4] =
                _mm256_add_epi32(sums[i % 4], _mm256_madd_epi16(acc[i], i < 4 ? ones : sixteens));
        });
    }
}

// sum (u - z) a of one token and the 32 outputs of a segment of nibbles.
static inline void sum_segment_row(const IntPanel& panel, const TokenTile& row, int64_t depth,
                                   __m256i* sums) {
    const __m256i sum = _mm256_set1_epi32(-row.offset_sums[0]);
    unroll<4>([&](auto i) QUAROT_INLINE {
        sums[i] = _mm256_mullo_epi32(Avx2::words8(panel.zeros + 8 * i), sum);
    });
    sum_row<NibbleStep>(panel, row.n_steps, depth, row, sums);
}

// One token times one panel of nibbles; its sums stay in registers from border to border.
template <bool kBases>
static void add_row_of_segments(const SegmentList& list, float* sums) {
    const int64_t depth = short_steps(15, list.tokens[0].largest_code);
    __m256 total[4];
    unroll<4>([&](auto i) QUAROT_INLINE { total[i] = _mm256_loadu_ps(sums + 8 * i); });
    for (int64_t s = 0; s < list.count; ++s) {
        const IntPanel& panel = list.panels[s];
        const TokenTile& row = list.tokens[s];
        __m256i exact[4];
        sum_segment_row(panel, row, depth, exact);
        const __m256 scale = _mm256_set1_ps(row.scales[0]);
        const __m256i n_inputs = _mm256_set1_epi32(static_cast<int>(row.n_inputs));
        unroll<4>([&](auto i) QUAROT_INLINE {
            const __m256 scales = _mm256_loadu_ps(panel.scales + 8 * i);
            __m256 value =
                _mm256_mul_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(exact[i]), scales), scale);
            if constexpr (kBases) {
                // Zero points and inputs are below 2^15.
                const __m256i zeros =
                    _mm256_madd_epi16(Avx2::words8(panel.zeros + 8 * i), n_inputs);
                const __m256i codes =
                    _mm256_sub_epi32(Avx2::words8(panel.code_sums + 8 * i), zeros);
                value = _mm256_add_ps(
                    value, _mm256_mul_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(codes), scales),
                                         _mm256_set1_ps(row.bases[0])));
            }
            total[i] = _mm256_add_ps(total[i], value);
        });
    }
    unroll<4>([&](auto i) QUAROT_INLINE { _mm256_storeu_ps(sums + 8 * i, total[i]); });
}

static void int_row_avx2(const IntPanel& first, int64_t n_panels, int64_t panel_bytes,
                         int64_t steps, const TokenTile& row, const FloatOut& out) {
    with_step(first, row, [&](auto step) {
        using Step = decltype(step);
        const int64_t depth = short_steps(Step::largest(first), row.largest_code);
        for (int64_t p = 0; p < n_panels; ++p) {
            const IntPanel panel = panel_at<Avx2>(first, p, panel_bytes);
            const FloatOut columns = columns_of_panel<Avx2>(out, p);
            __m256i sums[4];
            unroll<4>([&](auto i) QUAROT_INLINE { sums[i] = _mm256_setzero_si256(); });
            sum_row<Step>(panel, steps, depth, row, sums);
            finish_sums(reinterpret_cast<const int32_t*>(sums), panel, row, columns);
        }
    });
}

static void int_segments_row_avx2(const SegmentList& list, float* sums) {
    const TokenTile& row = list.tokens[0];
    if (list.panels[0].nibbles && row.offsets == nullptr) {
        (row.bases != nullptr ? add_row_of_segments<true> : add_row_of_segments<false>)(list, sums);
        return;
    }
    for (int64_t i = 0; i < list.count; ++i) {
        int_row_avx2(list.panels[i], 1, 0, list.tokens[i].n_steps, list.tokens[i],
                     {sums, 0, kPanelOutputs, true});
    }
}

}  // namespace quarot::kernels::cpu
