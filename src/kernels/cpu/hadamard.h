// The fast transform of one row: Sylvester stages in registers and in L1, and the small dense
// factor as a tiny matrix product.
#pragma once

#include <cstdint>

#include "kernels/cpu/fma_tile.h"
#include "kernels/cpu/unroll.h"

namespace quarot::kernels::cpu {

template <class V>
struct Pair {
    V sum, difference;
};

template <class S>
static inline Pair<typename S::V> butterfly(typename S::V a, typename S::V b) {
    return {S::add(a, b), S::sub(a, b)};
}

// One stage across R vectors; nothing if they are too few.
template <class S, int R, int kStride>
QUAROT_INLINE static inline void stage(typename S::V* v) {
    if constexpr (kStride < R) {
        unroll<R>([&](auto i) QUAROT_INLINE {
            if constexpr ((i & kStride) == 0) {
                const auto pair = butterfly<S>(v[i], v[i + kStride]);
                v[i] = pair.sum;
                v[i + kStride] = pair.difference;
            }
        });
    }
}

// 16 R consecutive points: inside each vector, then across the R vectors.
template <class S, int R>
static inline void sylvester_block(float* x, typename S::V factor) {
    typename S::V v[R];
    unroll<R>([&](auto i)
                  QUAROT_INLINE { v[i] = S::hadamard16(S::mul(factor, S::load(x + 16 * i))); });
    stage<S, R, 1>(v);
    stage<S, R, 2>(v);
    stage<S, R, 4>(v);
    stage<S, R, 8>(v);
    unroll<R>([&](auto i) QUAROT_INLINE { S::store(x + 16 * i, v[i]); });
}

template <class S, int R>
static void sylvester_blocks(float* x, int64_t n, float factor) {
    const auto f = S::set1(factor);
    for (int64_t i = 0; i < n; i += 16 * R) sylvester_block<S, R>(x + i, f);
}

// One stage: points `stride` apart.
template <class S>
static void radix2(float* x, int64_t n, int64_t stride) {
    for (int64_t base = 0; base < n; base += 2 * stride) {
        for (int64_t i = 0; i < stride; i += 16) {
            const int64_t count = stride - i < 16 ? stride - i : 16;
            float* p = x + base + i;
            const auto pair = butterfly<S>(S::load_n(p, count), S::load_n(p + stride, count));
            S::store_n(p, pair.sum, count);
            S::store_n(p + stride, pair.difference, count);
        }
    }
}

// Two stages in one pass; stride a multiple of 16.
template <class S>
static void radix4(float* x, int64_t n, int64_t stride) {
    for (int64_t base = 0; base < n; base += 4 * stride) {
        for (int64_t i = 0; i < stride; i += 16) {
            float* p = x + base + i;
            const auto ab = butterfly<S>(S::load(p), S::load(p + stride));
            const auto cd = butterfly<S>(S::load(p + 2 * stride), S::load(p + 3 * stride));
            const auto low = butterfly<S>(ab.sum, cd.sum);
            const auto high = butterfly<S>(ab.difference, cd.difference);
            S::store(p, low.sum);
            S::store(p + stride, high.sum);
            S::store(p + 2 * stride, low.difference);
            S::store(p + 3 * stride, high.difference);
        }
    }
}

template <class S>
static void scale_row(float* x, int64_t n, float factor) {
    if (factor == 1.0f) return;
    for (int64_t i = 0; i < n; i += 16) {
        const int64_t count = n - i < 16 ? n - i : 16;
        S::store_n(x + i, S::mul(S::set1(factor), S::load_n(x + i, count)), count);
    }
}

template <class S>
static void sylvester(float* x, int64_t n, int64_t inner, float factor) {
    constexpr int64_t kBlock = 16 * S::kFwhtVectors;
    int64_t stride = inner;
    if (inner == 1 && n >= 16) {
        stride = n < 64 ? 16 : n < kBlock ? 64 : kBlock;
        if (stride == 16) sylvester_blocks<S, 1>(x, n, factor);
        if (stride == 64) sylvester_blocks<S, 4>(x, n, factor);
        if (stride == kBlock && kBlock != 64) sylvester_blocks<S, S::kFwhtVectors>(x, n, factor);
    } else {
        scale_row<S>(x, n * inner, factor);
    }
    const int64_t total = n * inner;
    while (stride < total) {
        if (stride * 4 <= total && stride % 16 == 0) {
            radix4<S>(x, total, stride);
            stride *= 4;
        } else {
            radix2<S>(x, total, stride);
            stride *= 2;
        }
    }
}

// x * 0 is 0 with the sign of x, but NaN where the clamp has hidden an Inf.
template <class S>
static void round_to_half(float* x, int64_t n) {
    const auto largest = S::set1(65504.0f), smallest = S::set1(-65504.0f);
    for (int64_t i = 0; i < n; i += 16) {
        const int64_t count = n - i < 16 ? n - i : 16;
        const auto v = S::load_n(x + i, count);
        const auto clamped = S::min(largest, S::max(smallest, v));
        S::store_n(x + i, S::round_to_half(S::fma(v, S::zero(), clamped)), count);
    }
}

template <class S>
static void dense_mix(const float* d, int64_t order, float* x, int64_t width, float* scratch) {
    constexpr int64_t kColumns = 64;
    float* mixed = scratch + order * kColumns;
    for (int64_t first = 0; first < width; first += kColumns) {
        const int64_t columns = width - first < kColumns ? width - first : kColumns;
        const int64_t n_vectors = (columns + 15) / 16;
        for (int64_t k = 0; k < order; ++k) {
            for (int64_t i = 0; i < columns; i += 16) {
                S::store(scratch + k * kColumns + i,
                         S::load_n(x + k * width + first + i, columns - i));
            }
        }
        const bool whole = columns % 16 == 0;
        fma_rows<S, S::kAttentionRows>({.a = d,
                                        .lda = order,
                                        .b = scratch,
                                        .ldb = kColumns,
                                        .depth = order,
                                        .factors = nullptr,
                                        .c = whole ? x + first : mixed,
                                        .ldc = whole ? width : kColumns},
                                       order, n_vectors);
        if (whole) continue;
        for (int64_t k = 0; k < order; ++k) {
            for (int64_t i = 0; i < columns; ++i) {
                x[k * width + first + i] = mixed[k * kColumns + i];
            }
        }
    }
}

}  // namespace quarot::kernels::cpu
