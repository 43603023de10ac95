// The integer product with vpdpbusd on 512-bit registers: 14 tokens times 32 outputs a tile, 28
// accumulators; between borders of groups 6 tokens, 12 accumulators and 12 totals.
//
// For nibbles one AND does for two codes: L sums (byte & 15) a, R sums the whole byte, and the
// high nibbles' sum is (R - L) / 16 exactly, as long as |R| < 2^31: 255 * 128 * n_inputs, so up to
// 65,793 inputs.
#pragma once

#include <immintrin.h>

#include "kernels/cpu/gemm_int.h"
#include "kernels/cpu/simd_avx512.h"
#include "kernels/cpu/unroll.h"

namespace quarot::kernels::cpu {

constexpr int kVnniTokens = 14;

static inline __m512i broadcast_word(const int8_t* codes) {
    int32_t word;
    std::memcpy(&word, codes, 4);
    return _mm512_set1_epi32(word);
}

static inline __m512 base_lanes(const IntPanel& panel, int64_t first, const TokenTile& tile,
                                int64_t token) {
    const __m512i zeros = _mm512_mullo_epi32(_mm512_loadu_si512(panel.zeros + first),
                                             _mm512_set1_epi32(static_cast<int>(tile.n_inputs)));
    const __m512i sums = _mm512_sub_epi32(_mm512_loadu_si512(panel.code_sums + first), zeros);
    const __m512 scaled =
        _mm512_mul_ps(_mm512_cvtepi32_ps(sums), _mm512_loadu_ps(panel.scales + first));
    return _mm512_mul_ps(scaled, _mm512_set1_ps(tile.bases[token]));
}

// Sums, corrects and scales 16 outputs of one token.
static inline void finish_lanes(__m512i raw, const IntPanel& panel, int64_t first,
                                const TokenTile& tile, int64_t token, const FloatOut& out,
                                float* y) {
    __m512i acc =
        _mm512_sub_epi32(raw, _mm512_mullo_epi32(_mm512_loadu_si512(panel.zeros + first),
                                                 _mm512_set1_epi32(tile.offset_sums[token])));
    if (tile.offsets != nullptr) {
        acc = _mm512_sub_epi32(acc, _mm512_mullo_epi32(_mm512_loadu_si512(panel.code_sums + first),
                                                       _mm512_set1_epi32(tile.offsets[token])));
    }
    __m512 value = _mm512_mul_ps(_mm512_cvtepi32_ps(acc), _mm512_loadu_ps(panel.scales + first));
    value = _mm512_mul_ps(value, _mm512_set1_ps(tile.scales[token]));
    if (tile.bases != nullptr) {
        value = _mm512_add_ps(value, base_lanes(panel, first, tile, token));
    }
    if (panel.bias != nullptr) {
        value = _mm512_add_ps(value, _mm512_loadu_ps(panel.bias + first));
    }
    // Masked stores are not forwarded to the loads of a next sum.
    if (out.n_outputs - first >= 16) {
        if (out.accumulate) value = _mm512_add_ps(_mm512_loadu_ps(y + first), value);
        _mm512_storeu_ps(y + first, value);
        return;
    }
    const __mmask16 columns = Avx512::first(out.n_outputs - first);
    if (out.accumulate) {
        value = _mm512_add_ps(_mm512_maskz_loadu_ps(columns, y + first), value);
    }
    _mm512_mask_storeu_ps(y + first, columns, value);
}

static inline __m512i high_nibble_sum(__m512i low, __m512i raw) {
    return _mm512_srai_epi32(_mm512_sub_epi32(raw, low), 4);
}

// A fence for the register allocator: without it after the loop GCC 12 spills sums inside the loop.
QUAROT_INLINE static inline void keep_in_register(__m512i& sum) {
#ifndef QUAROT_NO_REGISTER_FENCE  // of tests without such registers
    asm("" : "+v"(sum));
#else
    static_cast<void>(sum);
#endif
}

template <bool kNibbles>
constexpr int64_t kStepBytes = kNibbles ? 64 : 128;

// Four inputs of R tokens times 32 outputs.
template <int R, bool kNibbles>
QUAROT_INLINE static inline void vnni_step(const uint8_t* w, const int8_t* a, __m512i mask,
                                           __m512i* acc0, __m512i* acc1) {
    const __m512i first = _mm512_loadu_si512(w);
    const __m512i w0 = kNibbles ? _mm512_and_si512(first, mask) : first;
    const __m512i w1 = kNibbles ? first : _mm512_loadu_si512(w + 64);
    unroll<R>([&](auto r) QUAROT_INLINE {
        const __m512i x = broadcast_word(a + 4 * r);
        acc0[r] = _mm512_dpbusd_epi32(acc0[r], w0, x);
        acc1[r] = _mm512_dpbusd_epi32(acc1[r], w1, x);
    });
}

// R tokens times one panel. Memory-bound callers prefetch the panel ahead. The lines that the sums
// will be written to are fetched during the first steps, a row a step: 28 misses at once at the end
// hold up the next tile.
template <int R, bool kNibbles, bool kPrefetch>
static void vnni_tile(const IntPanel& panel, int64_t steps, const TokenTile& tile,
                      const FloatOut& out) {
    __m512i acc0[R], acc1[R];
    unroll<R>([&](auto r) QUAROT_INLINE { acc0[r] = acc1[r] = _mm512_setzero_si512(); });
    const __m512i mask = _mm512_set1_epi8(15);
    const uint8_t* w = panel.codes;
    const int8_t* a = tile.codes;
    const auto step = [&]() QUAROT_INLINE {
        if constexpr (kPrefetch) _mm_prefetch(w + 8192, _MM_HINT_T0);
        vnni_step<R, kNibbles>(w, a, mask, acc0, acc1);
        w += kStepBytes<kNibbles>;
        a += 4 * kTileSlots;
    };
    int64_t k = 0;
    for (const float* y = out.data; k < R && k < steps; ++k, y += out.stride) {
        _mm_prefetch(y, _MM_HINT_T0);
        _mm_prefetch(y + 16, _MM_HINT_T0);
        step();
    }
    for (; k < steps; ++k) step();
    unroll<R>([&](auto r) QUAROT_INLINE {
        keep_in_register(acc0[r]);
        keep_in_register(acc1[r]);
    });
    unroll<R>([&](auto r) QUAROT_INLINE {
        float* y = out.data + r * out.stride;
        finish_lanes(acc0[r], panel, 0, tile, r, out, y);
        finish_lanes(kNibbles ? high_nibble_sum(acc0[r], acc1[r]) : acc1[r], panel, 16, tile, r,
                     out, y);
    });
}

template <int R, bool kNibbles, bool kPrefetch>
static void vnni_tile_exactly(const IntPanel& panel, int64_t steps, const TokenTile& tile,
                              const FloatOut& out) {
    if (tile.n_tokens == R) {
        vnni_tile<R, kNibbles, kPrefetch>(panel, steps, tile, out);
    } else if constexpr (R > 1) {
        vnni_tile_exactly<R - 1, kNibbles, kPrefetch>(panel, steps, tile, out);
    }
}

template <bool kNibbles>
static void vnni_panel(const IntPanel& panel, int64_t steps, const TokenTile& first_tile,
                       int64_t n_tokens, int64_t tile_bytes, const FloatOut& out) {
    for (int64_t token = 0, t = 0; token < n_tokens; token += kVnniTokens, ++t) {
        const int64_t rest = n_tokens - token;
        const TokenTile tile = tile_at<Avx512>(
            first_tile, token, rest < kVnniTokens ? rest : kVnniTokens, t, tile_bytes);
        FloatOut rows = out;
        rows.data += token * out.stride;
        if (n_tokens <= kVnniTokens) {
            vnni_tile_exactly<kVnniTokens, kNibbles, true>(panel, steps, tile, rows);
        } else {
            vnni_tile_exactly<kVnniTokens, kNibbles, false>(panel, steps, tile, rows);
        }
    }
}

static void int_panel_vnni(const IntPanel& panel, int64_t steps, const TokenTile& first_tile,
                           int64_t n_tokens, int64_t tile_bytes, const FloatOut& out) {
    if (panel.nibbles) {
        vnni_panel<true>(panel, steps, first_tile, n_tokens, tile_bytes, out);
    } else {
        vnni_panel<false>(panel, steps, first_tile, n_tokens, tile_bytes, out);
    }
}

// Tokens whose sums stay in registers through all segments of a panel, beside those of one segment;
// and of a tile.
constexpr int kVnniSegmentTokens = 6;
constexpr int kVnniSegmentTile = 2 * kVnniSegmentTokens;

// What 32 outputs of a segment are finished with.
struct SegmentLanes {
    __m512i minus_zero0, minus_zero1;  // of what acc0 and acc1 of vnni_step count
    const float* scales;
    const float* base_scales;
};

template <bool kNibbles>
QUAROT_INLINE static inline SegmentLanes segment_lanes(const IntPanel& panel) {
    const __m512i none = _mm512_setzero_si512();
    const __m512i low = _mm512_sub_epi32(none, _mm512_loadu_si512(panel.zeros));
    const __m512i high = _mm512_sub_epi32(none, _mm512_loadu_si512(panel.zeros + 16));
    // Sums of whole bytes hold the high nibbles' sixteenfold.
    const __m512i second = kNibbles ? _mm512_add_epi32(low, _mm512_slli_epi32(high, 4)) : high;
    return {low, second, panel.scales, panel.base_scales};
}

// Adds what the exact sums of 16 outputs of a token come to.
template <bool kBases>
QUAROT_INLINE static inline void add_segment(__m512& total, __m512i exact, const float* scales,
                                             __m512 scale, const float* base_scales, __m512 base) {
    __m512 value = _mm512_mul_ps(_mm512_cvtepi32_ps(exact), _mm512_loadu_ps(scales));
    value = _mm512_mul_ps(value, scale);
    if constexpr (kBases) {
        value = _mm512_add_ps(value, _mm512_mul_ps(_mm512_loadu_ps(base_scales), base));
    }
    total = _mm512_add_ps(total, value);
}

// One segment of R tokens from `slot` on, whose activations have no integer zero points. Sums begin
// at what zero points take off.
template <int R, bool kNibbles, bool kBases>
QUAROT_INLINE static inline void vnni_segment(const IntPanel& panel, const TokenTile& tile,
                                              int64_t slot, __m512* total0, __m512* total1) {
    const SegmentLanes lanes = segment_lanes<kNibbles>(panel);
    const int32_t* offset_sums = tile.offset_sums + slot;
    __m512i acc0[R], acc1[R];
    unroll<R>([&](auto r) QUAROT_INLINE {
        const __m512i sum = _mm512_set1_epi32(offset_sums[r]);
        acc0[r] = _mm512_mullo_epi32(lanes.minus_zero0, sum);
        acc1[r] = _mm512_mullo_epi32(lanes.minus_zero1, sum);
    });
    const __m512i mask = _mm512_set1_epi8(15);
    const uint8_t* w = panel.codes;
    const int8_t* a = tile.codes + 4 * slot;
    for (int64_t k = 0; k < tile.n_steps; ++k) {
        vnni_step<R, kNibbles>(w, a, mask, acc0, acc1);
        w += kStepBytes<kNibbles>;
        a += 4 * kTileSlots;
    }
    unroll<R>([&](auto r) QUAROT_INLINE {
        keep_in_register(acc0[r]);
        keep_in_register(acc1[r]);
    });
    const float* scales = tile.scales + slot;
    const float* bases = kBases ? tile.bases + slot : nullptr;
    unroll<R>([&](auto r) QUAROT_INLINE {
        const __m512 scale = _mm512_set1_ps(scales[r]);
        const __m512 base = kBases ? _mm512_set1_ps(bases[r]) : scale;
        add_segment<kBases>(total0[r], acc0[r], lanes.scales, scale, lanes.base_scales, base);
        add_segment<kBases>(total1[r], kNibbles ? high_nibble_sum(acc0[r], acc1[r]) : acc1[r],
                            lanes.scales + 16, scale, lanes.base_scales + 16, base);
    });
}

template <int R, bool kNibbles, bool kBases>
static void vnni_segments(const SegmentList& list, const TokenTile* tokens, int64_t slot,
                          float* sums) {
    __m512 total0[R], total1[R];
    unroll<R>([&](auto r) QUAROT_INLINE {
        total0[r] = _mm512_loadu_ps(sums + r * kPanelOutputs);
        total1[r] = _mm512_loadu_ps(sums + r * kPanelOutputs + 16);
    });
    for (int64_t i = 0; i < list.count; ++i) {
        vnni_segment<R, kNibbles, kBases>(list.panels[i], tokens[i], slot, total0, total1);
    }
    unroll<R>([&](auto r) QUAROT_INLINE {
        _mm512_storeu_ps(sums + r * kPanelOutputs, total0[r]);
        _mm512_storeu_ps(sums + r * kPanelOutputs + 16, total1[r]);
    });
}

template <int R, bool kNibbles, bool kBases>
static void vnni_segments_exactly(const SegmentList& list, const TokenTile* tokens, int64_t slot,
                                  float* sums) {
    if (tokens->n_tokens - slot >= R) {
        vnni_segments<R, kNibbles, kBases>(list, tokens, slot, sums);
    } else if constexpr (R > 1) {
        vnni_segments_exactly<R - 1, kNibbles, kBases>(list, tokens, slot, sums);
    }
}

// All segments of one tile.
static void vnni_tile_of_segments(const SegmentList& list, const TokenTile* tokens, float* sums) {
    constexpr int kTokens = kVnniSegmentTokens;
    const bool nibbles = list.panels[0].nibbles;
    if (tokens->offsets == nullptr) {
        const auto add = tokens->bases != nullptr
                             ? nibbles ? vnni_segments_exactly<kTokens, true, true>
                                       : vnni_segments_exactly<kTokens, false, true>
                         : nibbles ? vnni_segments_exactly<kTokens, true, false>
                                   : vnni_segments_exactly<kTokens, false, false>;
        for (int64_t slot = 0; slot < tokens->n_tokens; slot += kTokens) {
            add(list, tokens, slot, sums + slot * kPanelOutputs);
        }
        return;
    }
    for (int64_t i = 0; i < list.count; ++i) {
        int_panel_vnni(list.panels[i], tokens[i].n_steps, tokens[i], tokens->n_tokens, 0,
                       {sums, kPanelOutputs, kPanelOutputs, true});
    }
}

// As many segments at a time as stay in L1 with what belongs to them, and then all tiles.
static void int_segments_vnni(const SegmentList& list, float* sums) {
    constexpr int64_t kRunSteps = 128;
    for (int64_t first = 0; first < list.count;) {
        int64_t steps = 0, last = first;
        for (; last < list.count && (last == first || steps < kRunSteps); ++last) {
            steps += list.tokens[last].n_steps;
        }
        const SegmentList run{list.panels + first, nullptr, last - first};
        for (int64_t t = 0; t < list.n_tiles; ++t) {
            vnni_tile_of_segments(run, list.tile(t) + first,
                                  sums + t * kVnniSegmentTile * kPanelOutputs);
        }
        first = last;
    }
}

// One token times P panels at once: enough chains to hide vpdpbusd, P streams to prefetch.
template <int P, bool kNibbles>
static inline void vnni_row(const IntPanel& first, int64_t panel_bytes, int64_t steps,
                            const TokenTile& row, const FloatOut& out) {
    __m512i acc0[P], acc1[P];
    unroll<P>([&](auto p) QUAROT_INLINE { acc0[p] = acc1[p] = _mm512_setzero_si512(); });
    const __m512i mask = _mm512_set1_epi8(15);
    const uint8_t* w = first.codes;
    for (int64_t k = 0; k < steps; ++k) {
        const __m512i x = broadcast_word(row.codes + 4 * k);
        unroll<P>([&](auto p) QUAROT_INLINE {
            const uint8_t* step = w + p * panel_bytes;
            _mm_prefetch(step + 4096, _MM_HINT_T0);
            const __m512i bytes = _mm512_loadu_si512(step);
            if constexpr (kNibbles) {
                acc0[p] = _mm512_dpbusd_epi32(acc0[p], _mm512_and_si512(bytes, mask), x);
                acc1[p] = _mm512_dpbusd_epi32(acc1[p], bytes, x);
            } else {
                _mm_prefetch(step + 4096 + 64, _MM_HINT_T0);
                acc0[p] = _mm512_dpbusd_epi32(acc0[p], bytes, x);
                acc1[p] = _mm512_dpbusd_epi32(acc1[p], _mm512_loadu_si512(step + 64), x);
            }
        });
        w += kNibbles ? 64 : 128;
    }
    unroll<P>([&](auto p) QUAROT_INLINE {
        const IntPanel panel = panel_at<Avx512>(first, p, panel_bytes);
        const FloatOut columns = columns_of_panel<Avx512>(out, p);
        finish_lanes(acc0[p], panel, 0, row, 0, columns, columns.data);
        finish_lanes(kNibbles ? high_nibble_sum(acc0[p], acc1[p]) : acc1[p], panel, 16, row, 0,
                     columns, columns.data);
    });
}

template <bool kNibbles>
static void vnni_row_all(const IntPanel& first, int64_t n_panels, int64_t panel_bytes,
                         int64_t steps, const TokenTile& row, const FloatOut& out) {
    constexpr int64_t kAtOnce = 4;
    for (int64_t p = 0; p < n_panels;) {
        const IntPanel panel = panel_at<Avx512>(first, p, panel_bytes);
        FloatOut columns = out;
        columns.data += p * kPanelOutputs;
        columns.n_outputs -= p * kPanelOutputs;
        if (n_panels - p >= kAtOnce) {
            vnni_row<kAtOnce, kNibbles>(panel, panel_bytes, steps, row, columns);
            p += kAtOnce;
        } else {
            vnni_row<1, kNibbles>(panel, panel_bytes, steps, row, columns);
            p += 1;
        }
    }
}

static void int_row_vnni(const IntPanel& first, int64_t n_panels, int64_t panel_bytes,
                         int64_t steps, const TokenTile& row, const FloatOut& out) {
    if (first.nibbles) {
        vnni_row_all<true>(first, n_panels, panel_bytes, steps, row, out);
    } else {
        vnni_row_all<false>(first, n_panels, panel_bytes, steps, row, out);
    }
}

// What belongs to 16 outputs of one token in a segment, from `output` on: the sum of (u - zero) a,
// scaled, and with bases or offsets what the sum of u gives.
template <bool kSums>
QUAROT_INLINE static inline __m512 row_segment_lanes(__m512i dot, __m512i codes,
                                                     const IntPanel& panel, int64_t output,
                                                     const TokenTile& row) {
    const __m512i zeros = _mm512_loadu_si512(panel.zeros + output);
    const __m512 scales = _mm512_loadu_ps(panel.scales + output);
    __m512i exact =
        _mm512_sub_epi32(dot, _mm512_mullo_epi32(zeros, _mm512_set1_epi32(row.offset_sums[0])));
    if (kSums && row.offsets != nullptr) {
        exact =
            _mm512_sub_epi32(exact, _mm512_mullo_epi32(codes, _mm512_set1_epi32(row.offsets[0])));
    }
    const __m512 value = _mm512_mul_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(exact), scales),
                                       _mm512_set1_ps(row.scales[0]));
    if (!kSums || row.bases == nullptr) return value;
    const __m512i of_zeros =
        _mm512_mullo_epi32(zeros, _mm512_set1_epi32(static_cast<int>(row.n_inputs)));
    const __m512 weights =
        _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_sub_epi32(codes, of_zeros)), scales);
    return _mm512_add_ps(value, _mm512_mul_ps(weights, _mm512_set1_ps(row.bases[0])));
}

// One segment of one token and one panel. Sums of codes are products with ones: to read those that
// are stored would take as long as a quarter of the codes. A segment that shares a step with its
// neighbour has no other.
template <bool kNibbles, bool kSums>
QUAROT_INLINE static inline void add_row_segment(const IntPanel& panel, const TokenTile& row,
                                                 __m512* total) {
    __m512i dots[2] = {_mm512_setzero_si512(), _mm512_setzero_si512()};
    __m512i codes[2] = {_mm512_setzero_si512(), _mm512_setzero_si512()};
    const __m512i mask = _mm512_set1_epi8(15), ones = _mm512_set1_epi8(1);
    const uint8_t* w = panel.codes;
    for (int64_t k = 0; k < row.n_steps; ++k, w += kStepBytes<kNibbles>) {
        const __m512i x = broadcast_word(row.codes + 4 * k);
        _mm_prefetch(w + 4096, _MM_HINT_T0);
        const __m512i first = _mm512_loadu_si512(w);
        const __m512i w0 = kNibbles ? _mm512_and_si512(first, mask) : first;
        const __m512i w1 = kNibbles ? first : _mm512_loadu_si512(w + 64);
        dots[0] = _mm512_dpbusd_epi32(dots[0], w0, x);
        dots[1] = _mm512_dpbusd_epi32(dots[1], w1, x);
        if constexpr (kSums) {
            codes[0] = _mm512_dpbusd_epi32(codes[0], w0, ones);
            codes[1] = _mm512_dpbusd_epi32(codes[1], w1, ones);
        }
    }
    if constexpr (kNibbles) {
        dots[1] = high_nibble_sum(dots[0], dots[1]);
        codes[1] = high_nibble_sum(codes[0], codes[1]);
    }
    if (kSums && row.n_inputs != 4 * row.n_steps) {
        codes[0] = _mm512_loadu_si512(panel.code_sums);
        codes[1] = _mm512_loadu_si512(panel.code_sums + 16);
    }
    unroll<2>([&](auto half) QUAROT_INLINE {
        total[half] = _mm512_add_ps(
            total[half], row_segment_lanes<kSums>(dots[half], codes[half], panel, 16 * half, row));
    });
}

template <bool kNibbles, bool kSums>
static void add_row_segments(const SegmentList& list, float* sums) {
    __m512 total[2] = {_mm512_loadu_ps(sums), _mm512_loadu_ps(sums + 16)};
    for (int64_t i = 0; i < list.count; ++i) {
        add_row_segment<kNibbles, kSums>(list.panels[i], list.tokens[i], total);
    }
    _mm512_storeu_ps(sums, total[0]);
    _mm512_storeu_ps(sums + 16, total[1]);
}

static void int_segments_row_vnni(const SegmentList& list, float* sums) {
    const bool nibbles = list.panels[0].nibbles;
    const TokenTile& row = list.tokens[0];
    if (row.bases != nullptr || row.offsets != nullptr) {
        (nibbles ? add_row_segments<true, true> : add_row_segments<false, true>)(list, sums);
    } else {
        (nibbles ? add_row_segments<true, false> : add_row_segments<false, false>)(list, sums);
    }
}

// Sixteen rows of 16 words each, transposed: out word j of row i is in word i of row j.
QUAROT_INLINE static inline void transpose_words(__m512i* r) {
    __m512i t[16];
    unroll<8>([&](auto i) QUAROT_INLINE {
        t[2 * i] = _mm512_unpacklo_epi32(r[2 * i], r[2 * i + 1]);
        t[2 * i + 1] = _mm512_unpackhi_epi32(r[2 * i], r[2 * i + 1]);
    });
    unroll<4>([&](auto i) QUAROT_INLINE {
        r[4 * i] = _mm512_unpacklo_epi64(t[4 * i], t[4 * i + 2]);
        r[4 * i + 1] = _mm512_unpackhi_epi64(t[4 * i], t[4 * i + 2]);
        r[4 * i + 2] = _mm512_unpacklo_epi64(t[4 * i + 1], t[4 * i + 3]);
        r[4 * i + 3] = _mm512_unpackhi_epi64(t[4 * i + 1], t[4 * i + 3]);
    });
    unroll<4>([&](auto i) QUAROT_INLINE {
        t[i] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0x88);
        t[i + 4] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0xdd);
        t[i + 8] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0x88);
        t[i + 12] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0xdd);
    });
    unroll<4>([&](auto i) QUAROT_INLINE {
        r[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
        r[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd);
        r[i + 4] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0x88);
        r[i + 12] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0xdd);
    });
}

// As pack_tile, 16 steps at a time; the rows are padded to whole vectors.
static void pack_tile_avx512(const int8_t* codes, int64_t stride, int64_t n_tokens, int64_t steps,
                             int8_t* tile) {
    for (int64_t k = 0; k < steps; k += 16) {
        __m512i rows[16];
        unroll<16>([&](auto t) QUAROT_INLINE {
            rows[t] = t < n_tokens ? _mm512_loadu_si512(codes + t * stride + 4 * k)
                                   : _mm512_setzero_si512();
        });
        transpose_words(rows);
        const int64_t count = steps - k < 16 ? steps - k : 16;
        for (int64_t i = 0; i < count; ++i) {
            _mm512_storeu_si512(tile + (k + i) * 4 * kTileSlots, rows[i]);
        }
    }
}

}  // namespace quarot::kernels::cpu
