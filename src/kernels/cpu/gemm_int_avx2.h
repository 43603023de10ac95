// The integer product with vpmaddubsw: pairs of products of unsigned and signed codes are summed in
// int16 for as many steps as their widths allow, then widened.
//
// With weight codes up to w and activation codes up to a in size a step adds at most 2 w a to an
// int16. That makes 136 steps of 4-bit codes on both sides, 8 steps where either side has 8 bits.
// 8-bit codes on both sides would saturate in one: those weights are split into nibbles, whose sums
// are put together when they are widened.
//
// Groups end sums after a few steps: then an unpacked panel and sums in memory cost more than they
// save, and int_segments_avx2 keeps both in registers.
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

// What 8 outputs of a segment are finished with, for tokens without offsets.
struct SegmentLanes {
    __m256i zeros;
    __m256 scales, base_scales;

    SegmentLanes(const IntPanel& panel, const TokenTile& tile, int64_t from)
        : zeros(Avx2::words8(panel.zeros + from)), scales(_mm256_loadu_ps(panel.scales + from)) {
        const __m256i zero_sums =
            _mm256_mullo_epi32(zeros, _mm256_set1_epi32(static_cast<int>(tile.n_inputs)));
        const __m256i code_sums = Avx2::words8(panel.code_sums + from);
        base_scales =
            _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_sub_epi32(code_sums, zero_sums)), scales);
    }

    // finish_token's expression, added to 8 sums or put there.
    QUAROT_INLINE void add(__m256i raw, const TokenTile& tile, int64_t token, bool first,
                           float* sums) const {
        const __m256i offset_sum = _mm256_set1_epi32(tile.offset_sums[token]);
        const __m256i acc = _mm256_sub_epi32(raw, _mm256_mullo_epi32(zeros, offset_sum));
        __m256 value = _mm256_mul_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(acc), scales),
                                     _mm256_set1_ps(tile.scales[token]));
        if (tile.bases != nullptr) {
            value =
                _mm256_add_ps(value, _mm256_mul_ps(base_scales, _mm256_set1_ps(tile.bases[token])));
        }
        if (!first) value = _mm256_add_ps(_mm256_loadu_ps(sums), value);
        _mm256_storeu_ps(sums, value);
    }
};

// T tokens, from `slot` of a tile on, times 16 outputs of one segment of nibbles, from output 16 *
// kHalf of its panel on. Adds to sums [T][32], or fills them with the first segment. In one block:
// the segment's sums fit int16.
template <int T, int kHalf, bool kOneBlock>
static void add_segment(const IntPanel& panel, const TokenTile& tile, int64_t slot, bool first,
                        float* sums) {
    const __m256i mask = _mm256_set1_epi8(15), ones = _mm256_set1_epi16(1);
    const int64_t depth = kOneBlock ? tile.n_steps : short_steps(15, tile.largest_code);
    const uint8_t* w = panel.codes;
    const int8_t* codes = tile.codes + 4 * slot;
    __m256i sum0[T], sum1[T];
    unroll<T>([&](auto t) QUAROT_INLINE { sum0[t] = sum1[t] = _mm256_setzero_si256(); });
    for (int64_t k = 0; k < tile.n_steps; k += depth) {
        int64_t n = kOneBlock || tile.n_steps - k > depth ? depth : tile.n_steps - k;
        __m256i acc0[T], acc1[T];
        unroll<T>([&](auto t) QUAROT_INLINE { acc0[t] = acc1[t] = _mm256_setzero_si256(); });
        do {
            __m256i w0 = Avx2::words8(w), w1 = Avx2::words8(w + 32);
            if constexpr (kHalf == 1) {
                w0 = _mm256_srli_epi16(w0, 4);
                w1 = _mm256_srli_epi16(w1, 4);
            }
            w0 = _mm256_and_si256(w0, mask);
            w1 = _mm256_and_si256(w1, mask);
            unroll<T>([&](auto t) QUAROT_INLINE {
                const __m256i x = word_of(codes + 4 * t);
                acc0[t] = at_once(add_products(acc0[t], w0, x));
                acc1[t] = at_once(add_products(acc1[t], w1, x));
            });
            w += NibbleStep::kBytes;
            codes += 4 * kTileSlots;
        } while (--n > 0);
        unroll<T>([&](auto t) QUAROT_INLINE {
            const __m256i wide0 = _mm256_madd_epi16(acc0[t], ones);
            const __m256i wide1 = _mm256_madd_epi16(acc1[t], ones);
            sum0[t] = kOneBlock ? wide0 : _mm256_add_epi32(sum0[t], wide0);
            sum1[t] = kOneBlock ? wide1 : _mm256_add_epi32(sum1[t], wide1);
        });
    }
    const SegmentLanes lanes0(panel, tile, 16 * kHalf), lanes1(panel, tile, 16 * kHalf + 8);
    unroll<T>([&](auto t) QUAROT_INLINE {
        float* const to = sums + t * kPanelOutputs + 16 * kHalf;
        lanes0.add(sum0[t], tile, slot + t, first, to);
        lanes1.add(sum1[t], tile, slot + t, first, to + 8);
    });
}

template <int T>
static void add_segment_exactly(const IntPanel& panel, const TokenTile& tile, int64_t slot,
                                bool first, float* sums) {
    if (tile.n_tokens - slot >= T) {
        if (tile.n_steps <= short_steps(15, tile.largest_code)) {
            add_segment<T, 0, true>(panel, tile, slot, first, sums);
            add_segment<T, 1, true>(panel, tile, slot, first, sums);
        } else {
            add_segment<T, 0, false>(panel, tile, slot, first, sums);
            add_segment<T, 1, false>(panel, tile, slot, first, sums);
        }
    } else if constexpr (T > 1) {
        add_segment_exactly<T - 1>(panel, tile, slot, first, sums);
    }
}

// Short segments of nibbles straight from the panel, their sums finished in registers; others as
// panels.
static void int_segments_avx2(const SegmentList& list, float* sums) {
    const TokenTile& tokens = list.tokens[0];
    const bool straight = list.panels[0].nibbles && tokens.offsets == nullptr;
    for (int64_t i = 0; i < list.count; ++i) {
        const TokenTile& tile = list.tokens[i];
        if (!straight || tile.n_steps > kBlockSteps) {
            int_panel_avx2(list.panels[i], tile.n_steps, tile, tile.n_tokens, 0,
                           {sums, kPanelOutputs, kPanelOutputs, i > 0});
            continue;
        }
        for (int64_t slot = 0; slot < tile.n_tokens; slot += kTokensAtOnce) {
            add_segment_exactly<kTokensAtOnce>(list.panels[i], tile, slot, i == 0,
                                               sums + slot * kPanelOutputs);
        }
    }
}

// One token times one panel, straight from the panel. Four steps at a time and each sum completed
// at once: otherwise GCC reorders a step's sums until they no longer fit into the registers.
template <class Step>
static void sum_row(const IntPanel& panel, int64_t steps, const TokenTile& row, __m256i* sums) {
    constexpr int kParts = Step::kParts;
    const int64_t depth = short_steps(Step::largest(panel), row.largest_code);
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

static void int_row_avx2(const IntPanel& first, int64_t n_panels, int64_t panel_bytes,
                         int64_t steps, const TokenTile& row, const FloatOut& out) {
    with_step(first, row, [&](auto step) {
        for (int64_t p = 0; p < n_panels; ++p) {
            const IntPanel panel = panel_at<Avx2>(first, p, panel_bytes);
            const FloatOut columns = columns_of_panel<Avx2>(out, p);
            __m256i sums[4];
            unroll<4>([&](auto i) QUAROT_INLINE { sums[i] = _mm256_setzero_si256(); });
            sum_row<decltype(step)>(panel, steps, row, sums);
            finish_sums(reinterpret_cast<const int32_t*>(sums), panel, row, columns);
        }
    });
}

}  // namespace quarot::kernels::cpu
