// Work on one row: ranges, quantizing, widening, normalizing, scaling, activations, RoPE.
#pragma once

#include <cstdint>

#include "kernels/cpu/isa_kernels.h"

namespace quarot::kernels::cpu {

// e^x to 2 ulp for x in [-87.3, 88.3]; outside, the value at the nearer end. NaN stays NaN.
template <class S>
static inline typename S::V exp_vector(typename S::V x) {
    using V = typename S::V;
    // x second: a NaN there survives.
    x = S::min(S::set1(88.3f), S::max(S::set1(-87.3f), x));
    const V n = S::round(S::mul(x, S::set1(1.44269504f)));
    // ln 2 in two parts, the first with few bits so that n times it is exact.
    V r = S::fnma(n, S::set1(0.693359375f), x);
    r = S::fnma(n, S::set1(-2.12194440e-4f), r);
    // Taylor to r^7: |r| <= ln 2 / 2, so the rest is below 6e-9.
    V p = S::fma(r, S::set1(1.0f / 5040), S::set1(1.0f / 720));
    p = S::fma(p, r, S::set1(1.0f / 120));
    p = S::fma(p, r, S::set1(1.0f / 24));
    p = S::fma(p, r, S::set1(1.0f / 6));
    p = S::fma(p, r, S::set1(0.5f));
    p = S::fma(p, r, S::set1(1.0f));
    p = S::fma(p, r, S::set1(1.0f));
    return S::mul(p, S::pow2(n));
}

template <class S>
static void exp_row(const float* x, int64_t n, float* out) {
    for (int64_t i = 0; i < n; i += 16) {
        S::store_n(out + i, exp_vector<S>(S::load_n(x + i, n - i)), n - i < 16 ? n - i : 16);
    }
}

template <class S>
static RowRange range_of(const float* x, int64_t n) {
    using V = typename S::V;
    const V start = S::set1(n > 0 ? x[0] : 0.0f);
    V lo = start, hi = start, poison = S::zero();
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) {
        const V v = S::load(x + i);
        lo = S::min(v, lo);
        hi = S::max(v, hi);
        poison = S::fma(v, S::zero(), poison);  // NaN as soon as v is NaN or Inf
    }
    if (i < n) {
        const V v = S::select_first(n - i, S::load_n(x + i, n - i), start);
        lo = S::min(v, lo);
        hi = S::max(v, hi);
        poison = S::fma(v, S::zero(), poison);
    }
    return {S::reduce_min(lo), S::reduce_max(hi), S::reduce_add(poison) == 0.0f};
}

template <class S>
static inline typename S::V quantize_vector(typename S::V x, const RowQuantizer& z) {
    const auto from_origin = S::sub(x, S::set1(z.origin));
    const auto q = S::add(S::round(S::div(from_origin, S::set1(z.scale))), S::set1(z.zero));
    const auto clamped = S::min(S::max(q, S::set1(z.q_min)), S::set1(z.q_max));
    return S::sub(clamped, S::set1(z.shift));
}

// Sums of codes stay below 2^24, so they are exact in fp32 lanes (n < 2^16).
template <class S>
static int32_t quantize_row(const float* x, int64_t n, const RowQuantizer& quantizer, void* codes) {
    auto* bytes = static_cast<uint8_t*>(codes);
    auto sum = S::zero();
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) {
        const auto q = quantize_vector<S>(S::load(x + i), quantizer);
        S::store_bytes(bytes + i, q);
        sum = S::add(sum, q);
    }
    if (i < n) {
        const auto q = S::select_first(
            n - i, quantize_vector<S>(S::load_n(x + i, n - i), quantizer), S::zero());
        S::store_bytes_n(bytes + i, q, n - i);
        sum = S::add(sum, q);
    }
    return static_cast<int32_t>(S::reduce_add(sum));
}

template <class S>
static void dequantize_row(const int8_t* codes, int64_t n, float scale, float offset, float* out) {
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) {
        const auto q = S::sub(S::load_i8(codes + i), S::set1(offset));
        S::store(out + i, S::mul(S::set1(scale), q));
    }
    for (; i < n; ++i) out[i] = scale * (static_cast<float>(codes[i]) - offset);
}

template <class S>
static inline typename S::V load_float(const void* stored, FloatFormat format, int64_t index) {
    if (format == FloatFormat::F32) return S::load(static_cast<const float*>(stored) + index);
    const auto* half = static_cast<const uint16_t*>(stored) + index;
    return format == FloatFormat::BF16 ? S::load_bf16(half) : S::load_f16(half);
}

// The first n < 16 elements, the other lanes 0.
template <class S>
static inline typename S::V load_float_n(const void* stored, FloatFormat format, int64_t index,
                                         int64_t n) {
    if (format == FloatFormat::F32) return S::load_n(static_cast<const float*>(stored) + index, n);
    uint16_t half[16] = {};
    for (int64_t i = 0; i < n; ++i) half[i] = static_cast<const uint16_t*>(stored)[index + i];
    return load_float<S>(half, format, 0);
}

template <class S>
static void widen_row(const void* stored, FloatFormat format, int64_t n, float* out) {
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) S::store(out + i, load_float<S>(stored, format, i));
    if (i < n) S::store_n(out + i, load_float_n<S>(stored, format, i, n - i), n - i);
}

// Mean of (scale x)^2 over a row.
template <class S>
static inline float mean_square(const float* x, int64_t n, float scale) {
    const auto factor = S::set1(scale);
    auto even = S::zero(), odd = S::zero();
    int64_t i = 0;
    for (; i + 32 <= n; i += 32) {
        const auto a = S::mul(S::load(x + i), factor), b = S::mul(S::load(x + i + 16), factor);
        even = S::fma(a, a, even);
        odd = S::fma(b, b, odd);
    }
    for (; i < n; i += 16) {
        const auto v = S::mul(S::load_n(x + i, n - i), factor);
        even = S::fma(v, v, even);
    }
    return S::reduce_add(S::add(even, odd)) / static_cast<float>(n);
}

template <class S>
static void rms_norm_row(const float* x, int64_t n, const float* gain, float eps, float* out) {
    // Squares from 2e19 on leave the range of fp32; such a row is taken in smaller units, next to
    // which eps is nothing.
    constexpr float kSmaller = 0x1p-80f, kLargest = 0x1.fffffep127f;
    float scale = 1.0f;
    float mean = mean_square<S>(x, n, scale);
    if (mean > kLargest) {
        scale = kSmaller;
        mean = mean_square<S>(x, n, scale);
        eps = 0.0f;
    }
    const auto factor = S::set1(scale), inverse = S::set1(1.0f / __builtin_sqrtf(mean + eps));
    for (int64_t i = 0; i < n; i += 16) {
        const int64_t count = n - i < 16 ? n - i : 16;
        auto y = S::mul(S::mul(S::load_n(x + i, count), factor), inverse);
        if (gain != nullptr) y = S::mul(y, S::load_n(gain + i, count));
        S::store_n(out + i, y, count);
    }
}

// cap * tanh(x / cap), within 2e-7 of cap.
template <class S>
static inline typename S::V cap_vector(typename S::V x, float cap) {
    const auto one = S::set1(1.0f), two = S::set1(2.0f), limit = S::set1(cap);
    const auto e = exp_vector<S>(S::mul(two, S::div(x, limit)));
    return S::mul(limit, S::sub(one, S::div(two, S::add(e, one))));
}

template <class S>
static void scale_row(const float* x, int64_t n, float scale, float cap, float* out) {
    for (int64_t i = 0; i < n; i += 16) {
        const int64_t count = n - i < 16 ? n - i : 16;
        auto y = S::mul(S::load_n(x + i, count), S::set1(scale));
        if (cap != 0.0f) y = cap_vector<S>(y, cap);
        S::store_n(out + i, y, count);
    }
}

template <class S>
static inline float mean_of(const float* x, int64_t n, float scale) {
    auto sum = S::zero();
    for (int64_t i = 0; i < n; i += 16) {
        sum = S::fma(S::load_n(x + i, n - i < 16 ? n - i : 16), S::set1(scale), sum);
    }
    return S::reduce_add(sum) / static_cast<float>(n);
}

// Centred values stand in `out` before they are scaled.
template <class S>
static void layer_norm_row(const float* x, int64_t n, const float* gain, const float* bias,
                           float eps, float* out) {
    // As in rms_norm_row.
    constexpr float kSmaller = 0x1p-80f, kLargest = 0x1.fffffep127f;
    float scale = 1.0f;
    if (mean_square<S>(x, n, scale) > kLargest) {
        scale = kSmaller;
        eps = 0.0f;
    }
    const auto factor = S::set1(scale), mean = S::set1(mean_of<S>(x, n, scale));
    for (int64_t i = 0; i < n; i += 16) {
        const int64_t count = n - i < 16 ? n - i : 16;
        S::store_n(out + i, S::sub(S::mul(S::load_n(x + i, count), factor), mean), count);
    }
    const auto inverse = S::set1(1.0f / __builtin_sqrtf(mean_square<S>(out, n, 1.0f) + eps));
    for (int64_t i = 0; i < n; i += 16) {
        const int64_t count = n - i < 16 ? n - i : 16;
        auto y = S::mul(S::load_n(out + i, count), inverse);
        if (gain != nullptr) y = S::mul(y, S::load_n(gain + i, count));
        if (bias != nullptr) y = S::add(y, S::load_n(bias + i, count));
        S::store_n(out + i, y, count);
    }
}

// x / (1 + e^-y)
template <class S>
static inline typename S::V times_logistic(typename S::V x, typename S::V y) {
    const auto e = exp_vector<S>(S::sub(S::zero(), y));
    return S::div(x, S::add(S::set1(1.0f), e));
}

template <class S>
struct Silu {
    static inline typename S::V of(typename S::V x) { return times_logistic<S>(x, x); }
};

template <class S>
struct GeluTanh {
    static inline typename S::V of(typename S::V x) {
        constexpr float kFactor = 1.595769122f;  // 2 sqrt(2 / pi)
        const auto square = S::mul(x, x);
        const auto slope = S::fma(square, S::set1(0.044715f * kFactor), S::set1(kFactor));
        return times_logistic<S>(x, S::mul(x, slope));
    }
};

// max(x, 0) - |x| erfc(|x| / sqrt(2)) / 2. With t = 1 / (1 + z / 2), erfc(z) e^(z^2) / t is a
// polynomial in t to 4e-8 of itself for z in [0, 9.4] (by Chebyshev interpolation), beyond which
// the exponential vanishes.
template <class S>
struct Gelu {
    static inline typename S::V of(typename S::V x) {
        constexpr float kCoefficients[] = {0.525595001f, -0.793218535f, 0.518521737f, -0.147470102f,
                                           0.241400515f, 0.235503891f,  0.283202833f, 0.282048394f};
        const auto size = S::max(S::sub(S::zero(), x), x);
        const auto t = S::div(S::set1(1.0f), S::fma(size, S::set1(0.353553391f), S::set1(1.0f)));
        auto p = S::fma(S::set1(0.020432817f), t, S::set1(-0.166016556f));
        for (const float c : kCoefficients) p = S::fma(p, t, S::set1(c));
        const auto e = exp_vector<S>(S::mul(S::mul(x, S::set1(-0.5f)), x));
        const auto half = S::mul(S::mul(S::mul(p, t), S::set1(0.5f)), e);
        return S::fnma(size, half, S::max(S::zero(), x));
    }
};

template <class S>
struct Relu {
    static inline typename S::V of(typename S::V x) {
        return S::max(S::zero(), x);  // x second: a NaN there survives
    }
};

template <class S, template <class> class F>
static void activate_row_with(const float* gate, const float* up, int64_t n, float* out) {
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) {
        const auto y = F<S>::of(S::load(gate + i));
        S::store(out + i, up == nullptr ? y : S::mul(y, S::load(up + i)));
    }
    if (i < n) {
        const auto y = F<S>::of(S::load_n(gate + i, n - i));
        S::store_n(out + i, up == nullptr ? y : S::mul(y, S::load_n(up + i, n - i)), n - i);
    }
}

template <class S>
static void activate_row(Activation activation, const float* gate, const float* up, int64_t n,
                         float* out) {
    switch (activation) {
        case Activation::Silu:
            return activate_row_with<S, Silu>(gate, up, n, out);
        case Activation::GeluTanh:
            return activate_row_with<S, GeluTanh>(gate, up, n, out);
        case Activation::Gelu:
            return activate_row_with<S, Gelu>(gate, up, n, out);
        case Activation::Relu:
            return activate_row_with<S, Relu>(gate, up, n, out);
    }
}

// Turns the pairs (i, i + half) of one head.
template <class S>
static void rope_head(float* x, const float* cos, const float* sin, int64_t half) {
    for (int64_t i = 0; i < half; i += 16) {
        const int64_t count = half - i < 16 ? half - i : 16;
        const auto a = S::load_n(x + i, count), b = S::load_n(x + half + i, count);
        const auto c = S::load_n(cos + i, count), s = S::load_n(sin + i, count);
        S::store_n(x + i, S::fnma(b, s, S::mul(a, c)), count);
        S::store_n(x + half + i, S::fma(a, s, S::mul(b, c)), count);
    }
}

}  // namespace quarot::kernels::cpu
