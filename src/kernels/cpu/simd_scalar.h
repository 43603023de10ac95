// Sixteen floats without vector instructions: the tier that runs anywhere.
#pragma once

#include <cstdint>
#include <cstring>

namespace quarot::kernels::cpu {

struct Scalar {
    struct V {
        float x[16];
    };
    static constexpr int kDotRows = 2;
    static constexpr int kMixedRows = 4;
    static constexpr int kAttentionRows = 2;
    static constexpr int kQueryRows = 2;
    static constexpr int kAttentionVectors = 1, kFewRows = 0, kVectorsOfFewRows = 1;
    static constexpr int64_t kRowsToWiden = 5;
    static constexpr int kGramRows = 2, kGramVectors = 1;
    static constexpr int kFwhtVectors = 4;

    static constexpr uint32_t kSmallestHalf =
        0x38800000u;  // bits of 2^-14, the smallest normal one

    template <class F>
    static V each(F f) {
        V v;
        for (int i = 0; i < 16; ++i) v.x[i] = f(i);
        return v;
    }
    static float bits_to_float(uint32_t bits) {
        float f;
        std::memcpy(&f, &bits, 4);
        return f;
    }

    static uint32_t float_to_bits(float f) {
        uint32_t bits;
        std::memcpy(&bits, &f, 4);
        return bits;
    }

    static V zero() { return set1(0.0f); }
    static V set1(float f) {
        return each([&](int) { return f; });
    }
    static V load(const float* p) {
        return each([&](int i) { return p[i]; });
    }
    static V load_n(const float* p, int64_t n) {
        return each([&](int i) { return i < n ? p[i] : 0.0f; });
    }
    static void store(float* p, V v) { store_n(p, v, 16); }
    static void store_n(float* p, V v, int64_t n) {
        for (int i = 0; i < n; ++i) p[i] = v.x[i];
    }
    static V add(V a, V b) {
        return each([&](int i) { return a.x[i] + b.x[i]; });
    }
    static V sub(V a, V b) {
        return each([&](int i) { return a.x[i] - b.x[i]; });
    }
    static V mul(V a, V b) {
        return each([&](int i) { return a.x[i] * b.x[i]; });
    }
    static V div(V a, V b) {
        return each([&](int i) { return a.x[i] / b.x[i]; });
    }
    static V fma(V a, V b, V c) {
        return each([&](int i) { return __builtin_fmaf(a.x[i], b.x[i], c.x[i]); });
    }
    static V fnma(V a, V b, V c) {
        return each([&](int i) { return __builtin_fmaf(-a.x[i], b.x[i], c.x[i]); });
    }
    static V max(V a, V b) {
        return each([&](int i) { return a.x[i] > b.x[i] ? a.x[i] : b.x[i]; });
    }
    static V min(V a, V b) {
        return each([&](int i) { return a.x[i] < b.x[i] ? a.x[i] : b.x[i]; });
    }
    static V round(V a) {
        return each([&](int i) { return __builtin_nearbyintf(a.x[i]); });
    }
    // To the nearest half, ties to even; |a| <= 65504 or NaN. Adding a number 1.5 * 2^13 times as
    // large as the power of two in |a| leaves 10 bits below that power, or 2^-24 for small a.
    static float round_to_half(float a) {
        const uint32_t bits = float_to_bits(a), power = bits & 0x7f800000u;
        if (a != a) return a;
        const float magic =
            1.5f * bits_to_float((power < kSmallestHalf ? kSmallestHalf : power) + (13u << 23));
        const float magnitude = bits_to_float(bits & 0x7fffffffu);
        const float rounded = (magnitude + magic) - magic;
        return bits_to_float(float_to_bits(rounded) | (bits & 0x80000000u));
    }
    static V round_to_half(V a) {
        return each([&](int i) { return round_to_half(a.x[i]); });
    }
    // 2^n for integral n in [-126, 127]; anything for NaN.
    static V pow2(V n) {
        return each([&](int i) {
            const int32_t exponent = n.x[i] == n.x[i] ? static_cast<int32_t>(n.x[i]) : 0;
            return bits_to_float(static_cast<uint32_t>(exponent + 127) << 23);
        });
    }
    // Lanes below n from a, the others from b.
    static V select_first(int64_t n, V a, V b) {
        return each([&](int i) { return i < n ? a.x[i] : b.x[i]; });
    }
    // Lanes of a, 0 where x is below the bound; NaN is not.
    static V zero_below(V bound, V x, V a) {
        return each([&](int i) { return x.x[i] < bound.x[i] ? 0.0f : a.x[i]; });
    }
    // Lane i + lane i+8, then +4, +2, +1: the order of every sum over lanes.
    static float reduce_add(V v) {
        for (int half = 8; half > 0; half /= 2) {
            for (int i = 0; i < half; ++i) v.x[i] += v.x[i + half];
        }
        return v.x[0];
    }
    static float reduce_max(V v) {
        float m = v.x[0];
        for (int i = 1; i < 16; ++i) m = v.x[i] > m ? v.x[i] : m;
        return m;
    }
    static float reduce_min(V v) {
        float m = v.x[0];
        for (int i = 1; i < 16; ++i) m = v.x[i] < m ? v.x[i] : m;
        return m;
    }
    static void store_sums4(float* out, V a, V b, V c, V d) {
        out[0] = reduce_add(a);
        out[1] = reduce_add(b);
        out[2] = reduce_add(c);
        out[3] = reduce_add(d);
    }
    // The 16-point Sylvester transform of the lanes.
    static V hadamard16(V v) {
        for (int s = 1; s < 16; s *= 2) {
            for (int i = 0; i < 16; ++i) {
                if ((i & s) != 0) continue;
                const float a = v.x[i], b = v.x[i + s];
                v.x[i] = a + b;
                v.x[i + s] = a - b;
            }
        }
        return v;
    }

    static V load_bf16(const uint16_t* p) {
        return each([&](int i) { return bits_to_float(static_cast<uint32_t>(p[i]) << 16); });
    }
    static float f16_to_float(uint32_t h) {
        const uint32_t sign = (h & 0x8000u) << 16, exponent = (h >> 10) & 31u, fraction = h & 1023u;
        if (exponent == 31) return bits_to_float(sign | 0x7f800000u | (fraction << 13));
        if (exponent != 0)
            return bits_to_float(sign | ((exponent + 112u) << 23) | (fraction << 13));
        const float magnitude = static_cast<float>(fraction) * 0x1p-24f;
        return sign != 0 ? -magnitude : magnitude;
    }
    static V load_f16(const uint16_t* p) {
        return each([&](int i) { return f16_to_float(p[i]); });
    }
    static V load_i8(const int8_t* p) {
        return each([&](int i) { return static_cast<float>(p[i]); });
    }
    static V load_u8(const uint8_t* p) {
        return each([&](int i) { return static_cast<float>(p[i]); });
    }
    static V load_i16(const int16_t* p) {
        return each([&](int i) { return static_cast<float>(p[i]); });
    }
    static V load_i32(const int32_t* p) {
        return each([&](int i) { return static_cast<float>(p[i]); });
    }
    static void load_nibbles(const uint8_t* p, V& low, V& high) {
        low = each([&](int i) { return static_cast<float>(p[i] & 15); });
        high = each([&](int i) { return static_cast<float>(p[i] >> 4); });
    }
    static V load_low_nibbles(const uint8_t* p) {
        return each([&](int i) { return static_cast<float>(p[i] & 15); });
    }
    static V load_high_nibbles(const uint8_t* p) {
        return each([&](int i) { return static_cast<float>(p[i] >> 4); });
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
    // (word >> shift) & mask of 16 words.
    static V load_word_field(const uint8_t* p, int shift, uint32_t mask) {
        return each([&](int i) {
            uint32_t word;
            std::memcpy(&word, p + 4 * i, 4);
            return static_cast<float>((word >> shift) & mask);
        });
    }
    // The low bytes of integral values.
    static void store_bytes_n(void* p, V v, int64_t n) {
        auto* bytes = static_cast<uint8_t*>(p);
        for (int i = 0; i < n; ++i) bytes[i] = static_cast<uint8_t>(static_cast<int32_t>(v.x[i]));
    }
    static void store_bytes(void* p, V v) { store_bytes_n(p, v, 16); }
};

}  // namespace quarot::kernels::cpu
