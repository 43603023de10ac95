// Attention over one page: codes of keys and values become floats in registers, tile by tile, and
// their scales stay outside the sums; a softmax carries its maximum from page to page.
//
//   score[s] = scale_k[s] (sum_d q[d] code_k[s][d] - zero_k[s] sum_d q[d])
//   out[d]   = sum_s softmax weight[s] scale_v[s] (code_v[s][d] - zero_v[s])
//
// V's zero points stay inside: outside, a head of zeros would not give zeros.
// Every sum is one chain in the order of its index, so that a row's bits do not depend on which
// rows share its tile: slots beyond its limit weigh exactly 0 and pages beyond it are left out.
#pragma once

#include <cstdint>

#include "kernels/cpu/elementwise.h"
#include "kernels/cpu/fma_tile.h"

namespace quarot::kernels::cpu {

enum class KvCodes { Nibbles, Bytes, Floats };

// What tiles read: codes as they are stored, or floats: K's codes [head_dim][slots], V's minus
// their zero points [slots][dims].
struct KvSource {
    const void* codes;
    KvCodes kind;
    int64_t stride;      // from one dimension of K, one slot of V to the next
    const float* zeros;  // [slots] of V's codes as they are stored
};

template <KvCodes C>
struct KvCodesOf {
    static constexpr KvCodes value = C;
};

// Calls run(kind) with the kind as a type.
template <class Run>
static inline void with_codes(KvCodes kind, const Run& run) {
    switch (kind) {
        case KvCodes::Nibbles:
            return run(KvCodesOf<KvCodes::Nibbles>{});
        case KvCodes::Bytes:
            return run(KvCodesOf<KvCodes::Bytes>{});
        case KvCodes::Floats:
            return run(KvCodesOf<KvCodes::Floats>{});
    }
}

// Dots of R queries with the codes of 16 slots.
template <class S, KvCodes C, int R>
static inline void dot_codes(const AttentionRows& rows, const KvSource& k, int64_t head_dim,
                             int64_t slot, typename S::V* acc) {
    using V = typename S::V;
    unroll<R>([&](auto r) QUAROT_INLINE { acc[r] = S::zero(); });
    const float* q = rows.q;
    const int64_t stride = rows.head_dim;
    const auto add = [&](int64_t d, V codes) QUAROT_INLINE {
        unroll<R>([&](auto r) QUAROT_INLINE {
            acc[r] = S::fma(S::set1(q[r * stride + d]), codes, acc[r]);
        });
    };
    if constexpr (C == KvCodes::Nibbles) {
        const uint8_t* pair = static_cast<const uint8_t*>(k.codes) + slot;
        int64_t d = 0;
        for (; d + 2 <= head_dim; d += 2, pair += k.stride) {
            V even, odd;
            S::load_nibbles(pair, even, odd);
            add(d, even);
            add(d + 1, odd);
        }
        if (d < head_dim) add(d, S::load_low_nibbles(pair));
    } else if constexpr (C == KvCodes::Bytes) {
        const uint8_t* codes = static_cast<const uint8_t*>(k.codes) + slot;
        for (int64_t d = 0; d < head_dim; ++d, codes += k.stride) add(d, S::load_u8(codes));
    } else {
        const float* codes = static_cast<const float*>(k.codes) + slot;
        for (int64_t d = 0; d < head_dim; ++d, codes += k.stride) add(d, S::load(codes));
    }
}

// Scores of R rows and 16 slots.
template <class S, KvCodes C, int R>
static void score_tile(const AttentionRows& rows, const KvSource& k, const KvBlock& block,
                       int64_t slot, float* scores) {
    typename S::V acc[R];
    dot_codes<S, C, R>(rows, k, block.head_dim, slot, acc);
    if (block.bits != 16) {
        const auto scale = S::load(block.scales + slot), zero = S::load_i16(block.zeros + slot);
        unroll<R>([&](auto r) QUAROT_INLINE {
            acc[r] = S::mul(scale, S::fnma(zero, S::set1(rows.q_sums[r]), acc[r]));
        });
    }
    unroll<R>([&](auto r) QUAROT_INLINE { S::store(scores + r * block.slots + slot, acc[r]); });
}

// 16 dimensions of one slot; H: the half of their bytes.
template <class S, KvCodes C, int H>
QUAROT_INLINE static inline typename S::V load_values(const KvSource& v, int64_t at, int64_t slot) {
    if constexpr (C == KvCodes::Floats) {
        return S::load(static_cast<const float*>(v.codes) + at);
    } else {
        const auto* bytes = static_cast<const uint8_t*>(v.codes) + at;
        const auto codes = C == KvCodes::Bytes ? S::load_u8(bytes)
                           : H == 0            ? S::load_low_nibbles(bytes)
                                               : S::load_high_nibbles(bytes);
        return S::sub(codes, S::set1(v.zeros[slot]));
    }
}

// out = factor * out + the weighted values of 16 dimensions of R rows.
template <class S, KvCodes C, int H, int R>
static void weigh_tile(const AttentionRows& rows, const float* weights, int64_t slots,
                       int64_t depth, const float* factors, const KvSource& v, int64_t at,
                       int64_t dim) {
    typename S::V acc[R];
    float* out = rows.out + dim;
    unroll<R>([&](auto r) QUAROT_INLINE {
        acc[r] = S::mul(S::set1(factors[r]), S::load(out + r * rows.dims));
    });
    for (int64_t s = 0; s < depth; ++s, at += v.stride) {
        const auto values = load_values<S, C, H>(v, at, s);
        unroll<R>([&](auto r) QUAROT_INLINE {
            acc[r] = S::fma(S::set1(weights[r * slots + s]), values, acc[r]);
        });
    }
    unroll<R>([&](auto r) QUAROT_INLINE { S::store(out + r * rows.dims, acc[r]); });
}

template <class S>
static inline float highest_score(const float* scores, int64_t limit) {
    typename S::V highest = S::set1(-__builtin_inff());
    int64_t s = 0;
    for (; s + 16 <= limit; s += 16) highest = S::max(highest, S::load(scores + s));
    if (s < limit) {
        const auto last = S::select_first(limit - s, S::load(scores + s), highest);
        highest = S::max(highest, last);
    }
    return S::reduce_max(highest);
}

// Scores of one row become weights times V's scales; returns what the row's earlier sums are
// multiplied by.
template <class S>
static float soften_row(float* scores, int64_t slots, int64_t limit, const KvBlock& v,
                        float* maximum, float* lane_sums) {
    using V = typename S::V;
    const float before = *maximum, here = highest_score<S>(scores, limit);
    const float after = here > before ? here : before;
    V sum = S::zero();
    for (int64_t s = 0; s < slots; s += 16) {
        const int64_t left = limit - s;
        if (left <= 0) {
            S::store(scores + s, S::zero());
            continue;
        }
        V weight = exp_vector<S>(S::sub(S::load(scores + s), S::set1(after)));
        if (left < 16) weight = S::select_first(left, weight, S::zero());
        sum = S::add(sum, weight);
        if (v.bits != 16) {
            weight = S::mul(weight, S::load(v.scales + s));
            // A scale beyond the limit is any number.
            if (left < 16) weight = S::select_first(left, weight, S::zero());
        }
        S::store(scores + s, weight);
    }
    float factor = 1.0f;
    if (after != before) {
        float factors[16];
        S::store(factors, exp_vector<S>(S::set1(before - after)));
        factor = factors[0];
    }
    S::store(lane_sums, S::fma(S::load(lane_sums), S::set1(factor), sum));
    *maximum = after;
    return factor;
}

// Scores of all rows of a tile, as far as stored keys go.
template <class S, KvCodes C, int R>
static void score_rows(const AttentionRows& rows, const AttentionPage& page, const KvSource& k,
                       int64_t used) {
    if (rows.n_rows == R) {
        for (int64_t slot = 0; slot < used; slot += 16) {
            score_tile<S, C, R>(rows, k, page.k, slot, page.scores);
        }
    } else if constexpr (R > 1) {
        score_rows<S, C, R - 1>(rows, page, k, used);
    }
}

template <class S, KvCodes C, int R>
static void weigh_rows(const AttentionRows& rows, const AttentionPage& page, const KvSource& v,
                       int64_t depth, const float* factors) {
    if (rows.n_rows == R) {
        const int64_t slots = page.k.slots;
        if constexpr (C == KvCodes::Nibbles) {
            for (int64_t dim = 0, at = 0; dim < rows.dims; dim += 32, at += 16) {
                weigh_tile<S, C, 0, R>(rows, page.scores, slots, depth, factors, v, at, dim);
                weigh_tile<S, C, 1, R>(rows, page.scores, slots, depth, factors, v, at, dim + 16);
            }
        } else {
            for (int64_t dim = 0; dim < rows.dims; dim += 16) {
                weigh_tile<S, C, 0, R>(rows, page.scores, slots, depth, factors, v, dim, dim);
            }
        }
    } else if constexpr (R > 1) {
        weigh_rows<S, C, R - 1>(rows, page, v, depth, factors);
    }
}

// Goes on with the sums of scores where stored keys end.
template <class S>
static void score_below_keys(const AttentionRows& rows, const AttentionPage& page, int64_t used) {
    float ones[S::kQueryRows];
    for (float& one : ones) one = 1.0f;
    fma_rows<S, S::kAttentionRows>({.a = rows.q + page.k.head_dim,
                                    .lda = rows.head_dim,
                                    .b = page.below_keys,
                                    .ldb = page.k.slots,
                                    .depth = rows.head_dim - page.k.head_dim,
                                    .factors = ones,
                                    .c = page.scores,
                                    .ldc = page.k.slots},
                                   rows.n_rows, used / 16);
}

// factors [n_rows]: what the rows' earlier sums are multiplied by.
template <class S>
static void soften_rows(const AttentionRows& rows, const AttentionPage& page, const int32_t* limits,
                        int64_t used, float* factors) {
    for (int64_t r = 0; r < rows.n_rows; ++r) {
        float* scores = page.scores + r * page.k.slots;
        if (limits[r] > 0) {
            factors[r] =
                soften_row<S>(scores, used, limits[r], page.v, rows.maxima + r, rows.sums + 16 * r);
            continue;
        }
        factors[r] = 1.0f;
        for (int64_t s = 0; s < used; s += 16) S::store(scores + s, S::zero());
    }
}

// At most S::kQueryRows rows.
template <class S>
static void attend_tile(const AttentionRows& rows, const AttentionPage& page, const KvSource& k,
                        const KvSource& v, const int32_t* limits) {
    constexpr int kRows = S::kQueryRows;
    int64_t depth = 0;
    for (int64_t r = 0; r < rows.n_rows; ++r) depth = limits[r] > depth ? limits[r] : depth;
    if (depth == 0) return;
    const int64_t used = (depth + 15) / 16 * 16;
    with_codes(k.kind, [&](auto kind) {
        score_rows<S, decltype(kind)::value, kRows>(rows, page, k, used);
    });
    if (page.below_keys != nullptr) score_below_keys<S>(rows, page, used);
    float factors[kRows];
    soften_rows<S>(rows, page, limits, used, factors);
    with_codes(v.kind, [&](auto kind) {
        weigh_rows<S, decltype(kind)::value, kRows>(rows, page, v, depth, factors);
    });
}

// Codes of all slots as floats: what many rows share.
template <class S>
static KvSource widen_keys(const KvBlock& k, const KvSource& stored, float* out) {
    const auto* codes = static_cast<const uint8_t*>(stored.codes);
    for (int64_t s = 0; s < k.slots; s += 16) {
        for (int64_t d = 0; d < k.head_dim; ++d) {
            if (stored.kind == KvCodes::Bytes) {
                S::store(out + d * k.slots + s, S::load_u8(codes + d * stored.stride + s));
                continue;
            }
            const uint8_t* pair = codes + d / 2 * stored.stride + s;
            S::store(out + d * k.slots + s,
                     d % 2 == 0 ? S::load_low_nibbles(pair) : S::load_high_nibbles(pair));
        }
    }
    return {out, KvCodes::Floats, k.slots, nullptr};
}

template <class S>
static KvSource widen_values(const KvBlock& v, int64_t dims, const KvSource& stored, float* out) {
    float* to = out;
    for (int64_t s = 0; s < v.slots; ++s, to += dims) {
        for (int64_t d = 0; d < dims; d += 16) {
            const int64_t row = s * stored.stride;
            typename S::V values;
            if (stored.kind == KvCodes::Bytes) {
                values = load_values<S, KvCodes::Bytes, 0>(stored, row + d, s);
            } else if (d % 32 == 0) {
                values = load_values<S, KvCodes::Nibbles, 0>(stored, row + d / 2, s);
            } else {
                values = load_values<S, KvCodes::Nibbles, 1>(stored, row + d / 2 - 8, s);
            }
            S::store(to + d, values);
        }
    }
    return {out, KvCodes::Floats, dims, nullptr};
}

static inline KvCodes codes_of(const KvBlock& block) {
    return block.bits == 16 ? KvCodes::Floats : block.bits > 4 ? KvCodes::Bytes : KvCodes::Nibbles;
}

template <class S>
static void attend_page(const AttentionRows& rows, const AttentionPage& page,
                        const int32_t* limits) {
    const KvCodes v_kind = codes_of(page.v);
    KvSource k{page.k.codes, codes_of(page.k), page.k.slots, nullptr};
    KvSource v{page.v.codes, v_kind, v_kind == KvCodes::Nibbles ? rows.dims / 2 : rows.dims,
               page.zeros};
    if (v_kind != KvCodes::Floats) {
        for (int64_t s = 0; s < page.v.slots; s += 16) {
            S::store(page.zeros + s, S::load_i16(page.v.zeros + s));
        }
    }
    if (rows.n_rows >= S::kRowsToWiden) {
        if (k.kind != KvCodes::Floats) k = widen_keys<S>(page.k, k, page.keys);
        if (v.kind != KvCodes::Floats) v = widen_values<S>(page.v, rows.dims, v, page.values);
    }
    for (int64_t row = 0; row < rows.n_rows; row += S::kQueryRows) {
        AttentionRows part = rows;
        part.q += row * rows.head_dim;
        part.q_sums += row;
        part.maxima += row;
        part.sums += 16 * row;
        part.out += row * rows.dims;
        part.n_rows = rows.n_rows - row < S::kQueryRows ? rows.n_rows - row : S::kQueryRows;
        attend_tile<S>(part, page, k, v, limits + row);
    }
}

template <class S>
static void finish_row(const float* row_out, const float* lane_sums, int64_t head_dim, float* out) {
    const auto inverse = S::set1(1.0f / S::reduce_add(S::load(lane_sums)));
    for (int64_t i = 0; i < head_dim; i += 16) {
        const int64_t count = head_dim - i < 16 ? head_dim - i : 16;
        S::store_n(out + i, S::mul(S::load(row_out + i), inverse), count);
    }
}

}  // namespace quarot::kernels::cpu
