// Sixteen floats in one AVX-512 register.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace quarot::kernels::cpu {

struct Avx512 {
    using V = __m512;
    static constexpr int kDotRows = 6;
    static constexpr int kMixedRows = 8;
    static constexpr int kAttentionRows = 6;
    static constexpr int kQueryRows = 8;
    static constexpr int kAttentionVectors = 2, kFewRows = 2, kVectorsOfFewRows = 4;
    static constexpr int64_t kRowsToWiden = 17;
    static constexpr int kGramRows = 6, kGramVectors = 4;
    static constexpr int kFwhtVectors = 16;

    static __mmask16 first(int64_t n) {
        return static_cast<__mmask16>(n >= 16 ? 0xffffu : n <= 0 ? 0u : (1u << n) - 1u);
    }

    static V zero() { return _mm512_setzero_ps(); }
    static V set1(float f) { return _mm512_set1_ps(f); }
    static V load(const float* p) { return _mm512_loadu_ps(p); }
    static V load_n(const float* p, int64_t n) { return _mm512_maskz_loadu_ps(first(n), p); }
    static void store(float* p, V v) { _mm512_storeu_ps(p, v); }
    static void store_n(float* p, V v, int64_t n) { _mm512_mask_storeu_ps(p, first(n), v); }
    static V add(V a, V b) { return _mm512_add_ps(a, b); }
    static V sub(V a, V b) { return _mm512_sub_ps(a, b); }
    static V mul(V a, V b) { return _mm512_mul_ps(a, b); }
    static V div(V a, V b) { return _mm512_div_ps(a, b); }
    static V fma(V a, V b, V c) { return _mm512_fmadd_ps(a, b, c); }
    static V fnma(V a, V b, V c) { return _mm512_fnmadd_ps(a, b, c); }
    static V max(V a, V b) { return _mm512_max_ps(a, b); }
    static V min(V a, V b) { return _mm512_min_ps(a, b); }
    static V round(V a) {
        return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    }
    // To the nearest half, ties to even; |a| <= 65504 or NaN.
    static V round_to_half(V a) {
        return _mm512_cvtph_ps(_mm512_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
    }
    static V pow2(V n) {
        const __m512i biased = _mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127));
        return _mm512_castsi512_ps(_mm512_slli_epi32(biased, 23));
    }
    static V select_first(int64_t n, V a, V b) { return _mm512_mask_blend_ps(first(n), b, a); }

    static __m256 low(V v) { return _mm512_castps512_ps256(v); }
    static __m256 high(V v) { return _mm512_extractf32x8_ps(v, 1); }
    static float reduce_add(V v) {
        const __m256 s8 = _mm256_add_ps(low(v), high(v));
        const __m128 s4 = _mm_add_ps(_mm256_castps256_ps128(s8), _mm256_extractf128_ps(s8, 1));
        const __m128 s2 = _mm_add_ps(s4, _mm_movehl_ps(s4, s4));
        return _mm_cvtss_f32(_mm_add_ss(s2, _mm_movehdup_ps(s2)));
    }
    // Lanes of a, 0 where x is below the bound; NaN is not.
    static V zero_below(V bound, V x, V a) {
        return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, bound, _CMP_NLT_UQ), a);
    }
    static float reduce_max(V v) { return _mm512_reduce_max_ps(v); }
    static float reduce_min(V v) { return _mm512_reduce_min_ps(v); }
    // Four sums at once, each in the order of reduce_add.
    static void store_sums4(float* out, V a, V b, V c, V d) {
        const V ab = add(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xee));
        const V cd = add(_mm512_shuffle_f32x4(c, d, 0x44), _mm512_shuffle_f32x4(c, d, 0xee));
        V s = add(_mm512_shuffle_f32x4(ab, cd, 0x88), _mm512_shuffle_f32x4(ab, cd, 0xdd));
        s = add(s, _mm512_permute_ps(s, 0x4e));
        s = add(s, _mm512_permute_ps(s, 0xb1));
        _mm_storeu_ps(out, _mm512_castps512_ps128(_mm512_maskz_compress_ps(0x1111, s)));
    }
    static V butterfly(V v, V partner, __mmask16 upper) {
        return _mm512_mask_sub_ps(add(v, partner), upper, partner, v);
    }
    static V hadamard16(V v) {
        v = butterfly(v, _mm512_permute_ps(v, 0xb1), 0xaaaa);
        v = butterfly(v, _mm512_permute_ps(v, 0x4e), 0xcccc);
        v = butterfly(v, _mm512_shuffle_f32x4(v, v, 0xb1), 0xf0f0);
        return butterfly(v, _mm512_shuffle_f32x4(v, v, 0x4e), 0xff00);
    }

    static __m256i words16(const void* p) {
        return _mm256_loadu_si256(static_cast<const __m256i*>(p));
    }
    static __m128i bytes16(const void* p) {
        return _mm_loadu_si128(static_cast<const __m128i*>(p));
    }
    static V load_bf16(const uint16_t* p) {
        return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(words16(p)), 16));
    }
    static V load_f16(const uint16_t* p) { return _mm512_cvtph_ps(words16(p)); }
    static V load_i8(const int8_t* p) {
        return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes16(p)));
    }
    static V load_u8(const uint8_t* p) {
        return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes16(p)));
    }
    static V load_i16(const int16_t* p) {
        return _mm512_cvtepi32_ps(_mm512_cvtepi16_epi32(words16(p)));
    }
    static V load_i32(const int32_t* p) { return _mm512_cvtepi32_ps(_mm512_loadu_si512(p)); }
    // Codes below 16 as floats are a table of one register; an index's upper bits are not read.
    static V levels() {
        return _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    }
    static void look_up_nibbles(const uint8_t* p, V table, V& low_codes, V& high_codes) {
        const __m512i words = _mm512_cvtepu8_epi32(bytes16(p));
        low_codes = _mm512_permutexvar_ps(words, table);
        high_codes = _mm512_permutexvar_ps(_mm512_srli_epi32(words, 4), table);
    }
    static void load_nibbles(const uint8_t* p, V& low_codes, V& high_codes) {
        look_up_nibbles(p, levels(), low_codes, high_codes);
    }
    // Codes minus a zero point.
    static void load_nibbles_less(const uint8_t* p, V zero, V& low_codes, V& high_codes) {
        look_up_nibbles(p, sub(levels(), zero), low_codes, high_codes);
    }
    static V load_low_nibbles(const uint8_t* p) {
        return _mm512_permutexvar_ps(_mm512_cvtepu8_epi32(bytes16(p)), levels());
    }
    static V load_high_nibbles(const uint8_t* p) {
        return _mm512_permutexvar_ps(_mm512_srli_epi32(_mm512_cvtepu8_epi32(bytes16(p)), 4),
                                     levels());
    }
    // Of each of 16 words the field of kBits at kShift, minus a zero point whose field_origin it is
    // given. A byte below the upper half of the float 2^23 is 2^23 and its value.
    template <int kBits>
    static V field_origin(V zero) {
        return kBits == 8 ? add(zero, _mm512_set1_ps(0x1p23f)) : zero;
    }
    template <int kBits, int kShift>
    static V load_field_less(const uint8_t* p, V origin) {
        const __m512i words = _mm512_loadu_si512(p);
        if constexpr (kBits == 8) {
            const __m512i from = _mm512_add_epi32(
                _mm512_broadcast_i32x4(_mm_setr_epi32(0, 4, 8, 12)), _mm512_set1_epi32(kShift / 8));
            const __m512i sum = _mm512_mask_shuffle_epi8(_mm512_set1_epi32(0x4b000000),
                                                         0x1111111111111111u, words, from);
            return sub(_mm512_castsi512_ps(sum), origin);
        } else {
            static_assert(kBits == 4);
            return sub(_mm512_permutexvar_ps(_mm512_srli_epi32(words, kShift), levels()), origin);
        }
    }
    static void store_bytes_n(void* p, V v, int64_t n) {
        _mm_mask_storeu_epi8(p, first(n), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(v)));
    }
    static void store_bytes(void* p, V v) {
        _mm_storeu_si128(static_cast<__m128i*>(p), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(v)));
    }
};

}  // namespace quarot::kernels::cpu
