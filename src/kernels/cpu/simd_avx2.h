// Sixteen floats in two AVX2 registers.
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>

namespace quarot::kernels::cpu {

struct Avx2 {
    struct V {
        __m256 lo, hi;
    };
    static constexpr int kDotRows = 1;
    static constexpr int kMixedRows = 2;
    static constexpr int kAttentionRows = 1;
    static constexpr int kQueryRows = 4;
    static constexpr int kAttentionVectors = 1, kFewRows = 0, kVectorsOfFewRows = 1;
    static constexpr int64_t kRowsToWiden = 17;
    static constexpr int kGramRows = 6, kGramVectors = 1;
    static constexpr int kFwhtVectors = 4;

    static __m256i first8(int64_t n) {
        const int clamped = n >= 8 ? 8 : n <= 0 ? 0 : static_cast<int>(n);
        return _mm256_cmpgt_epi32(_mm256_set1_epi32(clamped),
                                  _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    }

    static V zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
    static V set1(float f) { return {_mm256_set1_ps(f), _mm256_set1_ps(f)}; }
    static V load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
    static V load_n(const float* p, int64_t n) {
        return {_mm256_maskload_ps(p, first8(n)), _mm256_maskload_ps(p + 8, first8(n - 8))};
    }
    static void store(float* p, V v) {
        _mm256_storeu_ps(p, v.lo);
        _mm256_storeu_ps(p + 8, v.hi);
    }
    static void store_n(float* p, V v, int64_t n) {
        _mm256_maskstore_ps(p, first8(n), v.lo);
        _mm256_maskstore_ps(p + 8, first8(n - 8), v.hi);
    }
    static V add(V a, V b) { return {_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)}; }
    static V sub(V a, V b) { return {_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)}; }
    static V mul(V a, V b) { return {_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)}; }
    static V div(V a, V b) { return {_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)}; }
    static V fma(V a, V b, V c) {
        return {_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
    }
    static V fnma(V a, V b, V c) {
        return {_mm256_fnmadd_ps(a.lo, b.lo, c.lo), _mm256_fnmadd_ps(a.hi, b.hi, c.hi)};
    }
    static V max(V a, V b) { return {_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi)}; }
    static V min(V a, V b) { return {_mm256_min_ps(a.lo, b.lo), _mm256_min_ps(a.hi, b.hi)}; }
    static V round(V a) {
        constexpr int kMode = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
        return {_mm256_round_ps(a.lo, kMode), _mm256_round_ps(a.hi, kMode)};
    }
    // To the nearest half, ties to even; |a| <= 65504 or NaN.
    static V round_to_half(V a) {
        constexpr int kMode = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
        return {_mm256_cvtph_ps(_mm256_cvtps_ph(a.lo, kMode)),
                _mm256_cvtph_ps(_mm256_cvtps_ph(a.hi, kMode))};
    }
    static __m256 pow2_half(__m256 n) {
        const __m256i biased = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
        return _mm256_castsi256_ps(_mm256_slli_epi32(biased, 23));
    }
    static V pow2(V n) { return {pow2_half(n.lo), pow2_half(n.hi)}; }
    static V select_first(int64_t n, V a, V b) {
        return {_mm256_blendv_ps(b.lo, a.lo, _mm256_castsi256_ps(first8(n))),
                _mm256_blendv_ps(b.hi, a.hi, _mm256_castsi256_ps(first8(n - 8)))};
    }
    // Lanes of a, 0 where x is below the bound; NaN is not.
    static V zero_below(V bound, V x, V a) {
        return {_mm256_and_ps(_mm256_cmp_ps(x.lo, bound.lo, _CMP_NLT_UQ), a.lo),
                _mm256_and_ps(_mm256_cmp_ps(x.hi, bound.hi, _CMP_NLT_UQ), a.hi)};
    }

    static float reduce_add(V v) {
        const __m256 s8 = _mm256_add_ps(v.lo, v.hi);
        const __m128 s4 = _mm_add_ps(_mm256_castps256_ps128(s8), _mm256_extractf128_ps(s8, 1));
        const __m128 s2 = _mm_add_ps(s4, _mm_movehl_ps(s4, s4));
        return _mm_cvtss_f32(_mm_add_ss(s2, _mm_movehdup_ps(s2)));
    }
    static float reduce_max(V v) {
        const __m256 m8 = _mm256_max_ps(v.lo, v.hi);
        const __m128 m4 = _mm_max_ps(_mm256_castps256_ps128(m8), _mm256_extractf128_ps(m8, 1));
        const __m128 m2 = _mm_max_ps(m4, _mm_movehl_ps(m4, m4));
        return _mm_cvtss_f32(_mm_max_ss(m2, _mm_movehdup_ps(m2)));
    }
    static float reduce_min(V v) {
        const __m256 m8 = _mm256_min_ps(v.lo, v.hi);
        const __m128 m4 = _mm_min_ps(_mm256_castps256_ps128(m8), _mm256_extractf128_ps(m8, 1));
        const __m128 m2 = _mm_min_ps(m4, _mm_movehl_ps(m4, m4));
        return _mm_cvtss_f32(_mm_min_ss(m2, _mm_movehdup_ps(m2)));
    }
    static __m128 fold_to_4(V v) {
        const __m256 s8 = _mm256_add_ps(v.lo, v.hi);
        return _mm_add_ps(_mm256_castps256_ps128(s8), _mm256_extractf128_ps(s8, 1));
    }
    // Four sums at once, each in the order of reduce_add.
    static void store_sums4(float* out, V a, V b, V c, V d) {
        const __m128 a4 = fold_to_4(a), b4 = fold_to_4(b), c4 = fold_to_4(c), d4 = fold_to_4(d);
        const __m128 ab = _mm_add_ps(_mm_movelh_ps(a4, b4), _mm_movehl_ps(b4, a4));
        const __m128 cd = _mm_add_ps(_mm_movelh_ps(c4, d4), _mm_movehl_ps(d4, c4));
        _mm_storeu_ps(out, _mm_add_ps(_mm_shuffle_ps(ab, cd, 0x88), _mm_shuffle_ps(ab, cd, 0xdd)));
    }
    static __m256 hadamard8(__m256 v) {
        __m256 p = _mm256_permute_ps(v, 0xb1);
        v = _mm256_blend_ps(_mm256_add_ps(v, p), _mm256_sub_ps(p, v), 0xaa);
        p = _mm256_permute_ps(v, 0x4e);
        v = _mm256_blend_ps(_mm256_add_ps(v, p), _mm256_sub_ps(p, v), 0xcc);
        p = _mm256_permute2f128_ps(v, v, 0x01);
        return _mm256_blend_ps(_mm256_add_ps(v, p), _mm256_sub_ps(p, v), 0xf0);
    }
    static V hadamard16(V v) {
        const __m256 lo = hadamard8(v.lo), hi = hadamard8(v.hi);
        return {_mm256_add_ps(lo, hi), _mm256_sub_ps(lo, hi)};
    }

    static __m128i bytes16(const void* p) {
        return _mm_loadu_si128(static_cast<const __m128i*>(p));
    }
    static __m128i bytes8(const void* p) { return _mm_loadl_epi64(static_cast<const __m128i*>(p)); }
    static V load_bf16(const uint16_t* p) {
        const __m256i lo = _mm256_slli_epi32(_mm256_cvtepu16_epi32(bytes16(p)), 16);
        const __m256i hi = _mm256_slli_epi32(_mm256_cvtepu16_epi32(bytes16(p + 8)), 16);
        return {_mm256_castsi256_ps(lo), _mm256_castsi256_ps(hi)};
    }
    static V load_f16(const uint16_t* p) {
        return {_mm256_cvtph_ps(bytes16(p)), _mm256_cvtph_ps(bytes16(p + 8))};
    }
    static V from_i32(__m256i lo, __m256i hi) {
        return {_mm256_cvtepi32_ps(lo), _mm256_cvtepi32_ps(hi)};
    }
    static V load_i8(const int8_t* p) {
        return from_i32(_mm256_cvtepi8_epi32(bytes8(p)), _mm256_cvtepi8_epi32(bytes8(p + 8)));
    }
    static V load_u8(const uint8_t* p) {
        return from_i32(_mm256_cvtepu8_epi32(bytes8(p)), _mm256_cvtepu8_epi32(bytes8(p + 8)));
    }
    static V load_i16(const int16_t* p) {
        return from_i32(_mm256_cvtepi16_epi32(bytes16(p)), _mm256_cvtepi16_epi32(bytes16(p + 8)));
    }
    static __m256i words8(const void* p) {
        return _mm256_loadu_si256(static_cast<const __m256i*>(p));
    }
    static V load_i32(const int32_t* p) { return from_i32(words8(p), words8(p + 8)); }
    static void load_nibbles(const uint8_t* p, V& low_codes, V& high_codes) {
        const __m256i mask = _mm256_set1_epi32(15);
        const __m256i a = _mm256_cvtepu8_epi32(bytes8(p)), b = _mm256_cvtepu8_epi32(bytes8(p + 8));
        low_codes = from_i32(_mm256_and_si256(a, mask), _mm256_and_si256(b, mask));
        high_codes = from_i32(_mm256_srli_epi32(a, 4), _mm256_srli_epi32(b, 4));
    }
    static V load_low_nibbles(const uint8_t* p) {
        const __m256i mask = _mm256_set1_epi32(15);
        return from_i32(_mm256_and_si256(_mm256_cvtepu8_epi32(bytes8(p)), mask),
                        _mm256_and_si256(_mm256_cvtepu8_epi32(bytes8(p + 8)), mask));
    }
    static V load_high_nibbles(const uint8_t* p) {
        return from_i32(_mm256_srli_epi32(_mm256_cvtepu8_epi32(bytes8(p)), 4),
                        _mm256_srli_epi32(_mm256_cvtepu8_epi32(bytes8(p + 8)), 4));
    }
    // Of each of 16 words the field of kBits at kShift, minus a zero point whose field_origin it is
    // given.
    template <int kBits>
    static V field_origin(V zero) {
        return zero;
    }
    template <int kBits, int kShift>
    static V load_field_less(const uint8_t* p, V origin) {
        return sub(load_word_field(p, kShift, (1u << kBits) - 1), origin);
    }
    static V load_word_field(const uint8_t* p, int shift, uint32_t mask) {
        const __m128i count = _mm_cvtsi32_si128(shift);
        const __m256i bits = _mm256_set1_epi32(static_cast<int32_t>(mask));
        return from_i32(_mm256_and_si256(_mm256_srl_epi32(words8(p), count), bits),
                        _mm256_and_si256(_mm256_srl_epi32(words8(p + 32), count), bits));
    }
    static void store_bytes(void* p, V v) {
        const __m256i mask = _mm256_set1_epi32(255);
        const __m256i lo = _mm256_and_si256(_mm256_cvtps_epi32(v.lo), mask);
        const __m256i hi = _mm256_and_si256(_mm256_cvtps_epi32(v.hi), mask);
        const __m256i words = _mm256_permute4x64_epi64(_mm256_packus_epi32(lo, hi), 0xd8);
        _mm_storeu_si128(
            static_cast<__m128i*>(p),
            _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1)));
    }
    static void store_bytes_n(void* p, V v, int64_t n) {
        alignas(16) uint8_t bytes[16];
        store_bytes(bytes, v);
        std::memcpy(p, bytes, static_cast<size_t>(n));
    }
};

}  // namespace quarot::kernels::cpu
