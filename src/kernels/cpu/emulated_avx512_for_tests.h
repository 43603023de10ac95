// The AVX-512 instructions of the integer product in plain loops, under their own names, so that
// the product can be compared on machines without them. To be included before the product's header.
#pragma once

#include <immintrin.h>

#include <array>
#include <cstdint>
#include <cstring>

namespace quarot::kernels::cpu::emulated {

template <typename T>
using Lanes = std::array<T, 64 / sizeof(T)>;

// The register as lanes, and back.
template <typename T, typename Register>
Lanes<T> lanes(const Register& r) {
    Lanes<T> values;
    std::memcpy(values.data(), &r, 64);
    return values;
}
template <typename Register, typename T>
Register to(const Lanes<T>& values) {
    Register r;
    std::memcpy(&r, values.data(), 64);
    return r;
}

// f(i) for every lane.
template <typename T, typename Register, typename F>
Register each(const F& f) {
    Lanes<T> values;
    for (size_t i = 0; i < values.size(); ++i) values[i] = f(i);
    return to<Register>(values);
}

inline __m512i load(const void* p) {
    __m512i r;
    std::memcpy(&r, p, 64);
    return r;
}
inline void store(void* p, __m512i r) {
    std::memcpy(p, &r, 64);
}
inline __m512i set1(int32_t x) {
    return each<int32_t, __m512i>([&](size_t) { return x; });
}
inline __m512i set1_bytes(int8_t x) {
    return each<int8_t, __m512i>([&](size_t) { return x; });
}
inline __m512i sub(__m512i a, __m512i b) {
    const auto x = lanes<uint32_t>(a), y = lanes<uint32_t>(b);
    return each<uint32_t, __m512i>([&](size_t i) { return x[i] - y[i]; });
}
inline __m512i add_words(__m512i a, __m512i b) {
    const auto x = lanes<uint32_t>(a), y = lanes<uint32_t>(b);
    return each<uint32_t, __m512i>([&](size_t i) { return x[i] + y[i]; });
}
inline __m512i mul_low(__m512i a, __m512i b) {
    const auto x = lanes<uint32_t>(a), y = lanes<uint32_t>(b);
    return each<uint32_t, __m512i>([&](size_t i) { return x[i] * y[i]; });
}
inline __m512i shift_left(__m512i a, unsigned n) {
    const auto x = lanes<uint32_t>(a);
    return each<uint32_t, __m512i>([&](size_t i) { return x[i] << n; });
}
inline __m512i shift_right(__m512i a, unsigned n) {
    const auto x = lanes<int32_t>(a);
    return each<int32_t, __m512i>([&](size_t i) { return x[i] >> n; });
}
inline __m512i bit_and(__m512i a, __m512i b) {
    const auto x = lanes<uint64_t>(a), y = lanes<uint64_t>(b);
    return each<uint64_t, __m512i>([&](size_t i) { return x[i] & y[i]; });
}
// sums + four products of unsigned bytes of a with signed ones of b, lane by lane.
inline __m512i dot_bytes(__m512i sums, __m512i a, __m512i b) {
    const auto x = lanes<uint8_t>(a);
    const auto y = lanes<int8_t>(b);
    const auto s = lanes<int32_t>(sums);
    return each<int32_t, __m512i>([&](size_t i) {
        int32_t sum = s[i];
        for (size_t j = 4 * i; j < 4 * i + 4; ++j) sum += int32_t{x[j]} * int32_t{y[j]};
        return sum;
    });
}
// Of every 128 bits the low or the high half of a and b, `T` by `T` in turns.
template <typename T>
__m512i interleave(__m512i a, __m512i b, bool high) {
    constexpr size_t n = 16 / sizeof(T);
    const auto x = lanes<T>(a), y = lanes<T>(b);
    return each<T, __m512i>([&](size_t i) {
        const size_t from = i / n * n + i % n / 2 + (high ? n / 2 : 0);
        return i % 2 == 0 ? x[from] : y[from];
    });
}
// Two blocks of 128 bits of a, then two of b, chosen by two bits each.
inline __m512i shuffle_blocks(__m512i a, __m512i b, unsigned choice) {
    const auto x = lanes<int32_t>(a), y = lanes<int32_t>(b);
    return each<int32_t, __m512i>([&](size_t i) {
        const size_t block = i / 4, from = (choice >> (2 * block) & 3u) * 4 + i % 4;
        return block < 2 ? x[from] : y[from];
    });
}

inline __m512 to_floats(__m512i a) {
    const auto x = lanes<int32_t>(a);
    return each<float, __m512>([&](size_t i) { return static_cast<float>(x[i]); });
}
inline __m512 set1_floats(float x) {
    return each<float, __m512>([&](size_t) { return x; });
}
inline __m512 mul(__m512 a, __m512 b) {
    const auto x = lanes<float>(a), y = lanes<float>(b);
    return each<float, __m512>([&](size_t i) { return x[i] * y[i]; });
}
inline __m512 add(__m512 a, __m512 b) {
    const auto x = lanes<float>(a), y = lanes<float>(b);
    return each<float, __m512>([&](size_t i) { return x[i] + y[i]; });
}
inline __m512 load_floats(unsigned mask, const float* p) {
    return each<float, __m512>([&](size_t i) { return (mask >> i & 1u) != 0 ? p[i] : 0.0f; });
}
inline void store_floats(float* p, unsigned mask, __m512 a) {
    const auto x = lanes<float>(a);
    for (size_t i = 0; i < x.size(); ++i) {
        if ((mask >> i & 1u) != 0) p[i] = x[i];
    }
}

}  // namespace quarot::kernels::cpu::emulated

// Without optimization some are macros already.
#undef _mm512_srai_epi32
#undef _mm512_slli_epi32
#undef _mm512_shuffle_i32x4

#define _mm512_setzero_si512() ::quarot::kernels::cpu::emulated::set1(0)
#define _mm512_set1_epi32 ::quarot::kernels::cpu::emulated::set1
#define _mm512_set1_epi8(x) ::quarot::kernels::cpu::emulated::set1_bytes(x)
#define _mm512_loadu_si512 ::quarot::kernels::cpu::emulated::load
#define _mm512_storeu_si512 ::quarot::kernels::cpu::emulated::store
#define _mm512_sub_epi32 ::quarot::kernels::cpu::emulated::sub
#define _mm512_add_epi32 ::quarot::kernels::cpu::emulated::add_words
#define _mm512_slli_epi32 ::quarot::kernels::cpu::emulated::shift_left
#define _mm512_mullo_epi32 ::quarot::kernels::cpu::emulated::mul_low
#define _mm512_srai_epi32 ::quarot::kernels::cpu::emulated::shift_right
#define _mm512_and_si512 ::quarot::kernels::cpu::emulated::bit_and
#define _mm512_dpbusd_epi32 ::quarot::kernels::cpu::emulated::dot_bytes
#define _mm512_unpacklo_epi32(a, b) \
    ::quarot::kernels::cpu::emulated::interleave<int32_t>(a, b, false)
#define _mm512_unpackhi_epi32(a, b) \
    ::quarot::kernels::cpu::emulated::interleave<int32_t>(a, b, true)
#define _mm512_unpacklo_epi64(a, b) \
    ::quarot::kernels::cpu::emulated::interleave<int64_t>(a, b, false)
#define _mm512_unpackhi_epi64(a, b) \
    ::quarot::kernels::cpu::emulated::interleave<int64_t>(a, b, true)
#define _mm512_shuffle_i32x4 ::quarot::kernels::cpu::emulated::shuffle_blocks
#define _mm512_cvtepi32_ps ::quarot::kernels::cpu::emulated::to_floats
#define _mm512_set1_ps ::quarot::kernels::cpu::emulated::set1_floats
#define _mm512_mul_ps ::quarot::kernels::cpu::emulated::mul
#define _mm512_add_ps ::quarot::kernels::cpu::emulated::add
#define _mm512_loadu_ps(p) ::quarot::kernels::cpu::emulated::load_floats(0xffffu, p)
#define _mm512_maskz_loadu_ps ::quarot::kernels::cpu::emulated::load_floats
#define _mm512_storeu_ps(p, a) ::quarot::kernels::cpu::emulated::store_floats(p, 0xffffu, a)
#define _mm512_mask_storeu_ps ::quarot::kernels::cpu::emulated::store_floats
// A fence for a register that these machines do not have.
#define QUAROT_NO_REGISTER_FENCE
