// The integer product with vpmaddubsw: unsigned codes below 16 times signed codes stay inside
// int16 for 8 steps; bytes are split into nibbles first, so that nothing saturates.
#pragma once

#include <immintrin.h>

#include "kernels/cpu/gemm_int.h"
#include "kernels/cpu/simd_avx2.h"

namespace quarot::kernels::cpu {

static inline __m256i word_of(const int8_t* codes) {
    int32_t word;
    std::memcpy(&word, codes, 4);
    return _mm256_set1_epi32(word);
}

struct PanelSums {
    __m256i part[4];  // outputs 8 i .. 8 i + 7
};

// 8 steps of 2 * 15 * 128 is the most an int16 holds.
constexpr int64_t kShortSteps = 8;

template <int T>
static inline void sum_nibbles(const uint8_t* w, int64_t steps, const int8_t* codes,
                               int64_t word_stride, PanelSums* sums) {
    const __m256i mask = _mm256_set1_epi8(15), ones = _mm256_set1_epi16(1);
    for (int64_t first = 0; first < steps; first += kShortSteps) {
        const int64_t last = first + kShortSteps < steps ? first + kShortSteps : steps;
        __m256i acc[T][4];
        for (auto& token : acc) {
            for (__m256i& part : token) part = _mm256_setzero_si256();
        }
        for (int64_t k = first; k < last; ++k) {
            const __m256i w0 = Avx2::words8(w + 64 * k), w1 = Avx2::words8(w + 64 * k + 32);
            const __m256i parts[4] = {_mm256_and_si256(w0, mask), _mm256_and_si256(w1, mask),
                                      _mm256_and_si256(_mm256_srli_epi16(w0, 4), mask),
                                      _mm256_and_si256(_mm256_srli_epi16(w1, 4), mask)};
#pragma GCC unroll 2
            for (int t = 0; t < T; ++t) {
                const __m256i a = word_of(codes + k * word_stride + 4 * t);
#pragma GCC unroll 4
                for (int i = 0; i < 4; ++i) {
                    acc[t][i] = _mm256_add_epi16(acc[t][i], _mm256_maddubs_epi16(parts[i], a));
                }
            }
        }
        for (int t = 0; t < T; ++t) {
            for (int i = 0; i < 4; ++i) {
                sums[t].part[i] =
                    _mm256_add_epi32(sums[t].part[i], _mm256_madd_epi16(acc[t][i], ones));
            }
        }
    }
}

static inline void sum_bytes(const uint8_t* w, int64_t steps, const int8_t* codes,
                             int64_t word_stride, PanelSums* sums) {
    const __m256i mask = _mm256_set1_epi8(15);
    const __m256i ones = _mm256_set1_epi16(1), sixteens = _mm256_set1_epi16(16);
    for (int64_t k = 0; k < steps; ++k) {
        const __m256i a = word_of(codes + k * word_stride);
#pragma GCC unroll 4
        for (int i = 0; i < 4; ++i) {
            const __m256i q = Avx2::words8(w + 128 * k + 32 * i);
            const __m256i low = _mm256_and_si256(q, mask);
            const __m256i high = _mm256_and_si256(_mm256_srli_epi16(q, 4), mask);
            const __m256i sum =
                _mm256_add_epi32(_mm256_madd_epi16(_mm256_maddubs_epi16(low, a), ones),
                                 _mm256_madd_epi16(_mm256_maddubs_epi16(high, a), sixteens));
            sums->part[i] = _mm256_add_epi32(sums->part[i], sum);
        }
    }
}

template <int T>
static void tokens_of_panel(const IntPanel& panel, int64_t steps, const int8_t* codes,
                            int64_t word_stride, const TokenTile& tile, int64_t token,
                            const FloatOut& out) {
    PanelSums sums[T];
    for (auto& s : sums) {
        for (__m256i& part : s.part) part = _mm256_setzero_si256();
    }
    if (panel.nibbles) {
        sum_nibbles<T>(panel.codes, steps, codes, word_stride, sums);
    } else {
        for (int t = 0; t < T; ++t) {
            sum_bytes(panel.codes, steps, codes + 4 * t, word_stride, sums + t);
        }
    }
    for (int t = 0; t < T; ++t) {
        uint32_t raw[kPanelOutputs];
        std::memcpy(raw, sums[t].part, sizeof raw);
        finish_token<Avx2>(panel, raw, tile, token + t, out, out.data + (token + t) * out.stride);
    }
}

static void int_panel_avx2(const IntPanel& panel, int64_t steps, const TokenTile& first_tile,
                           int64_t n_tokens, int64_t tile_bytes, const FloatOut& out) {
    for (int64_t token = 0; token < n_tokens; token += 2) {
        const int8_t* codes =
            first_tile.codes + token / kTileSlots * tile_bytes + token % kTileSlots * 4;
        if (token + 1 < n_tokens) {
            tokens_of_panel<2>(panel, steps, codes, 4 * kTileSlots, first_tile, token, out);
        } else {
            tokens_of_panel<1>(panel, steps, codes, 4 * kTileSlots, first_tile, token, out);
        }
    }
}

static void int_row_avx2(const IntPanel& first, int64_t n_panels, int64_t panel_bytes,
                         int64_t steps, const TokenTile& row, const FloatOut& out) {
    for (int64_t p = 0; p < n_panels; ++p) {
        tokens_of_panel<1>(panel_at<Avx2>(first, p, panel_bytes), steps, row.codes, 4, row, 0,
                           columns_of_panel<Avx2>(out, p));
    }
}

}  // namespace quarot::kernels::cpu
