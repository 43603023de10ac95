// The one float inner loop of attention, of dense factors and of quantized weights with float
// activations: c = factor * c + a b, lanes along the columns.
//
// Every output is one chain of fused multiply-adds over the depth in order, so it does not depend
// on which rows or columns it is computed with.
#pragma once

#include <cstdint>

#include "kernels/cpu/unroll.h"

namespace quarot::kernels::cpu {

struct TileOperands {
    const float* a;  // [rows, depth], row stride lda, depth stride a_step
    int64_t lda;
    const float* b;  // [depth, columns], row stride ldb
    int64_t ldb;
    int64_t depth;
    const float* factors;  // [rows], or null: c starts at 0
    float* c;              // [rows, columns], row stride ldc
    int64_t ldc;
    int64_t a_step = 1;
};

template <class S, int R, int N>
static inline void fma_tile(const TileOperands& t) {
    using V = typename S::V;
    V acc[R][N];
    unroll<R>([&](auto r) QUAROT_INLINE {
        unroll<N>([&](auto n) QUAROT_INLINE {
            acc[r][n] = t.factors == nullptr
                            ? S::zero()
                            : S::mul(S::set1(t.factors[r]), S::load(t.c + r * t.ldc + 16 * n));
        });
    });
    const float* a = t.a;
    const float* b = t.b;
    const int64_t lda = t.lda, ldb = t.ldb, a_step = t.a_step;
    for (int64_t k = t.depth; k > 0; --k, a += a_step, b += ldb) {
        V column[N];
        unroll<N>([&](auto n) QUAROT_INLINE { column[n] = S::load(b + 16 * n); });
        unroll<R>([&](auto r) QUAROT_INLINE {
            const V x = S::set1(a[r * lda]);
            unroll<N>([&](auto n) QUAROT_INLINE { acc[r][n] = S::fma(x, column[n], acc[r][n]); });
        });
    }
    unroll<R>([&](auto r) QUAROT_INLINE {
        unroll<N>([&](auto n) QUAROT_INLINE { S::store(t.c + r * t.ldc + 16 * n, acc[r][n]); });
    });
}

template <class S, int R, int N>
static void fma_rows_exactly(const TileOperands& t, int64_t n_rows) {
    if (n_rows == R) {
        fma_tile<S, R, N>(t);
    } else if constexpr (R > 1) {
        fma_rows_exactly<S, R - 1, N>(t, n_rows);
    }
}

template <class S, int R>
static void fma_columns(const TileOperands& t, int64_t n_rows, int64_t n_vectors) {
    TileOperands part = t;
    for (; n_vectors >= 4; n_vectors -= 4, part.b += 64, part.c += 64) {
        fma_rows_exactly<S, R, 4>(part, n_rows);
    }
    if (n_vectors == 3) fma_rows_exactly<S, R, 3>(part, n_rows);
    if (n_vectors == 2) fma_rows_exactly<S, R, 2>(part, n_rows);
    if (n_vectors == 1) fma_rows_exactly<S, R, 1>(part, n_rows);
}

// At most R rows and N vectors, by the tile of just that size.
template <class S, int R, int N>
static void fma_at_most(const TileOperands& t, int64_t n_rows, int64_t n_vectors) {
    if (n_vectors == N) {
        fma_rows_exactly<S, R, N>(t, n_rows);
    } else if constexpr (N > 1) {
        fma_at_most<S, R, N - 1>(t, n_rows, n_vectors);
    }
}

// Any number of rows, in blocks of at most R; n_vectors columns of 16.
template <class S, int R>
static void fma_rows(const TileOperands& t, int64_t n_rows, int64_t n_vectors) {
    TileOperands part = t;
    for (int64_t row = 0; row < n_rows; row += R) {
        const int64_t count = n_rows - row < R ? n_rows - row : R;
        part.a = t.a + row * t.lda;
        part.c = t.c + row * t.ldc;
        part.factors = t.factors == nullptr ? nullptr : t.factors + row;
        fma_columns<S, R>(part, count, n_vectors);
    }
}

}  // namespace quarot::kernels::cpu
