// Attention over one page: codes of keys and values become floats in registers, tile by tile, and
// their scales stay outside the sums; a softmax carries its maximum from page to page.
//
//   score[s] = scale_k[s] (sum_d q[d] code_k[s][d] - zero_k[s] sum_d q[d]), or of keys by channel
//              sum_d (q[d] scale_k[d]) code_k[s][d] + sum_d q[d] offset_k[d]
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

// 16 codes that follow one another as floats.
template <class S, KvCodes C>
QUAROT_INLINE static inline typename S::V load_codes(const KvSource& source, int64_t at) {
    if constexpr (C == KvCodes::Bytes) {
        return S::load_u8(static_cast<const uint8_t*>(source.codes) + at);
    } else {
        return S::load(static_cast<const float*>(source.codes) + at);
    }
}

// Scales of 16 slots.
template <class S>
QUAROT_INLINE static inline typename S::V load_scales(const KvBlock& block, int64_t slot) {
    return block.scales != nullptr ? S::load(block.scales + slot)
                                   : S::load_f16(block.half_scales + slot);
}

// Vectors that a tile of R rows is wide: enough sums to hide the latency of a multiply-add.
template <class S, int R>
constexpr int kTileVectors = R <= S::kFewRows ? S::kVectorsOfFewRows : S::kAttentionVectors;

// Dots of R queries with the codes of 16 N slots.
template <class S, KvCodes C, int R, int N>
static inline void dot_codes(const AttentionRows& rows, const KvSource& k, int64_t head_dim,
                             int64_t slot, typename S::V (*acc)[N]) {
    using V = typename S::V;
    unroll<R>([&](auto r) QUAROT_INLINE {
        unroll<N>([&](auto n) QUAROT_INLINE { acc[r][n] = S::zero(); });
    });
    const float* q = rows.q;
    const int64_t stride = rows.head_dim;
    const auto add = [&](int64_t d, const V* codes) QUAROT_INLINE {
        unroll<R>([&](auto r) QUAROT_INLINE {
            const V x = S::set1(q[r * stride + d]);
            unroll<N>([&](auto n) QUAROT_INLINE { acc[r][n] = S::fma(x, codes[n], acc[r][n]); });
        });
    };
    if constexpr (C == KvCodes::Nibbles) {
        const uint8_t* pair = static_cast<const uint8_t*>(k.codes) + slot;
        V even[N], odd[N];
        int64_t d = 0;
        for (; d + 2 <= head_dim; d += 2, pair += k.stride) {
            unroll<N>([&](auto n)
                          QUAROT_INLINE { S::load_nibbles(pair + 16 * n, even[n], odd[n]); });
            add(d, even);
            add(d + 1, odd);
        }
        if (d == head_dim) return;
        unroll<N>([&](auto n) QUAROT_INLINE { even[n] = S::load_low_nibbles(pair + 16 * n); });
        add(d, even);
    } else {
        for (int64_t d = 0, at = slot; d < head_dim; ++d, at += k.stride) {
            V column[N];
            unroll<N>([&](auto n) QUAROT_INLINE { column[n] = load_codes<S, C>(k, at + 16 * n); });
            add(d, column);
        }
    }
}

// Scores of R rows and 16 N slots.
template <class S, KvCodes C, int R, int N>
static void score_tile(const AttentionRows& rows, const KvSource& k, const KvBlock& block,
                       int64_t slot, float* scores) {
    typename S::V acc[R][N];
    dot_codes<S, C, R, N>(rows, k, block.head_dim, slot, acc);
    unroll<N>([&](auto n) QUAROT_INLINE {
        const int64_t at = slot + 16 * n;
        if (block.channel_scales != nullptr) {
            unroll<R>([&](auto r) QUAROT_INLINE {
                acc[r][n] = S::add(acc[r][n], S::set1(rows.q_sums[r]));
            });
        } else if (block.bits != 16) {
            const auto scale = load_scales<S>(block, at), zero = S::load_i16(block.zeros + at);
            unroll<R>([&](auto r) QUAROT_INLINE {
                acc[r][n] = S::mul(scale, S::fnma(zero, S::set1(rows.q_sums[r]), acc[r][n]));
            });
        }
        unroll<R>([&](auto r)
                      QUAROT_INLINE { S::store(scores + r * block.slots + at, acc[r][n]); });
    });
}

// 16 N dimensions of one slot: of N / 2 runs of nibbles, or half H of one.
template <class S, KvCodes C, int N, int H>
QUAROT_INLINE static inline void load_values(const KvSource& v, int64_t at, int64_t slot,
                                             typename S::V* values) {
    if constexpr (C == KvCodes::Floats) {
        unroll<N>([&](auto n) QUAROT_INLINE { values[n] = load_codes<S, C>(v, at + 16 * n); });
        return;
    }
    const auto zero = S::set1(v.zeros[slot]);
    if constexpr (C == KvCodes::Bytes) {
        unroll<N>([&](auto n) QUAROT_INLINE {
            values[n] = S::sub(load_codes<S, C>(v, at + 16 * n), zero);
        });
    } else if constexpr (C == KvCodes::Nibbles) {
        const auto* bytes = static_cast<const uint8_t*>(v.codes) + at;
        if constexpr (N == 1) {
            const auto codes = H == 0 ? S::load_low_nibbles(bytes) : S::load_high_nibbles(bytes);
            values[0] = S::sub(codes, zero);
        } else {
            unroll<N / 2>([&](auto n) QUAROT_INLINE {
                S::load_nibbles_less(bytes + 16 * n, zero, values[2 * n], values[2 * n + 1]);
            });
        }
    }
}

// out = factor * out + the weighted values of 16 N dimensions of R rows.
template <class S, KvCodes C, int N, int H, int R>
static void weigh_tile(const AttentionRows& rows, const float* weights, int64_t slots,
                       int64_t depth, const float* factors, const KvSource& v, int64_t at,
                       int64_t dim) {
    using V = typename S::V;
    V acc[R][N];
    float* out = rows.out + dim;
    unroll<R>([&](auto r) QUAROT_INLINE {
        unroll<N>([&](auto n) QUAROT_INLINE {
            acc[r][n] = S::mul(S::set1(factors[r]), S::load(out + r * rows.dims + 16 * n));
        });
    });
    for (int64_t s = 0; s < depth; ++s, at += v.stride) {
        V values[N];
        load_values<S, C, N, H>(v, at, s, values);
        unroll<R>([&](auto r) QUAROT_INLINE {
            const V weight = S::set1(weights[r * slots + s]);
            unroll<N>([&](auto n)
                          QUAROT_INLINE { acc[r][n] = S::fma(weight, values[n], acc[r][n]); });
        });
    }
    unroll<R>([&](auto r) QUAROT_INLINE {
        unroll<N>([&](auto n) QUAROT_INLINE { S::store(out + r * rows.dims + 16 * n, acc[r][n]); });
    });
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

// e^x of a score's distance to the maximum. What is below e^-64 of the largest weight is 0: it adds
// nothing that fp32 holds, and times a scale it would be no normal number, which slows a product
// down a hundred times.
template <class S>
static inline typename S::V softmax_weight(typename S::V x) {
    return S::zero_below(S::set1(-64.0f), x, exp_vector<S>(x));
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
        V weight = softmax_weight<S>(S::sub(S::load(scores + s), S::set1(after)));
        if (left < 16) weight = S::select_first(left, weight, S::zero());
        sum = S::add(sum, weight);
        if (v.bits != 16) {
            weight = S::mul(weight, load_scales<S>(v, s));
            // A scale beyond the limit is any number.
            if (left < 16) weight = S::select_first(left, weight, S::zero());
        }
        S::store(scores + s, weight);
    }
    float factor = 1.0f;
    if (after != before) {
        float factors[16];
        S::store(factors, softmax_weight<S>(S::set1(before - after)));
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
        constexpr int kVectors = kTileVectors<S, R>;
        int64_t slot = 0;
        for (; slot + 16 * kVectors <= used; slot += 16 * kVectors) {
            score_tile<S, C, R, kVectors>(rows, k, page.k, slot, page.scores);
        }
        for (; slot < used; slot += 16) {
            score_tile<S, C, R, 1>(rows, k, page.k, slot, page.scores);
        }
    } else if constexpr (R > 1) {
        score_rows<S, C, R - 1>(rows, page, k, used);
    }
}

template <class S, KvCodes C, int R>
static void weigh_rows(const AttentionRows& rows, const AttentionPage& page, const KvSource& v,
                       int64_t depth, const float* factors) {
    if (rows.n_rows == R) {
        constexpr int kVectors = kTileVectors<S, R>;
        // 32 dimensions of nibbles stand in 16 bytes.
        constexpr int kDimensions = C == KvCodes::Nibbles ? 2 : 1;
        const int64_t slots = page.k.slots;
        int64_t dim = 0;
        for (; dim + 16 * kVectors <= rows.dims && kVectors > 1; dim += 16 * kVectors) {
            weigh_tile<S, C, kVectors, 0, R>(rows, page.scores, slots, depth, factors, v,
                                             dim / kDimensions, dim);
        }
        for (; dim < rows.dims; dim += 16 * kDimensions) {
            weigh_tile<S, C, 1, 0, R>(rows, page.scores, slots, depth, factors, v,
                                      dim / kDimensions, dim);
            if constexpr (kDimensions == 1) continue;
            weigh_tile<S, C, 1, 1, R>(rows, page.scores, slots, depth, factors, v,
                                      dim / kDimensions, dim + 16);
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

// Caps scores, and makes those of slots before a row's first -inf, whose weight is 0.
template <class S>
static void shape_scores(const AttentionRows& rows, const AttentionPage& page, int64_t used) {
    for (int64_t r = 0; r < rows.n_rows; ++r) {
        float* scores = page.scores + r * page.k.slots;
        if (page.score_cap != 0.0f) scale_row<S>(scores, used, 1.0f, page.score_cap, scores);
        if (page.starts == nullptr) continue;
        for (int64_t s = 0; s < page.starts[r]; ++s) scores[s] = -__builtin_inff();
    }
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
    if (page.score_cap != 0.0f || page.starts != nullptr) shape_scores<S>(rows, page, used);
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
            typename S::V values[1];
            if (stored.kind == KvCodes::Bytes) {
                load_values<S, KvCodes::Bytes, 1, 0>(stored, row + d, s, values);
            } else if (d % 32 == 0) {
                load_values<S, KvCodes::Nibbles, 1, 0>(stored, row + d / 2, s, values);
            } else {
                load_values<S, KvCodes::Nibbles, 1, 1>(stored, row + d / 2 - 8, s, values);
            }
            S::store(to + d, values[0]);
        }
    }
    return {out, KvCodes::Floats, dims, nullptr};
}

static inline KvCodes codes_of(const KvBlock& block) {
    return block.bits == 16 ? KvCodes::Floats : block.bits > 4 ? KvCodes::Bytes : KvCodes::Nibbles;
}

// What keys by channel have in common goes into the queries once.
template <class S>
static AttentionRows fold_channels(const AttentionRows& rows, const AttentionPage& page) {
    const KvBlock& k = page.k;
    for (int64_t r = 0; r < rows.n_rows; ++r) {
        const float* q = rows.q + r * rows.head_dim;
        float* to = page.folded + r * rows.head_dim;
        auto sum = S::zero();
        int64_t d = 0;
        for (; d + 16 <= k.head_dim; d += 16) {
            const auto x = S::load(q + d);
            S::store(to + d, S::mul(x, S::load_f16(k.channel_scales + d)));
            sum = S::fma(x, S::load_f16(k.channel_offsets + d), sum);
        }
        if (const int64_t n = k.head_dim - d; n > 0) {
            const auto x = S::load_n(q + d, n);
            const auto scale = load_float_n<S>(k.channel_scales, FloatFormat::F16, d, n);
            const auto offset = load_float_n<S>(k.channel_offsets, FloatFormat::F16, d, n);
            S::store_n(to + d, S::mul(x, scale), n);
            sum = S::fma(x, offset, sum);
        }
        for (d = k.head_dim; d < rows.head_dim; ++d) to[d] = q[d];
        page.folded_sums[r] = S::reduce_add(sum);
    }
    AttentionRows folded = rows;
    folded.q = page.folded;
    folded.q_sums = page.folded_sums;
    return folded;
}

template <class S>
static void attend_page(const AttentionRows& all, const AttentionPage& page,
                        const int32_t* limits) {
    const bool by_channel = page.k.channel_scales != nullptr;
    const AttentionRows rows = by_channel ? fold_channels<S>(all, page) : all;
    const KvCodes v_kind = codes_of(page.v);
    KvSource k{page.k.codes, codes_of(page.k), page.k.stride, nullptr};
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
        AttentionPage at = page;
        if (at.starts != nullptr) at.starts += row;
        attend_tile<S>(part, at, k, v, limits + row);
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
