// Attention over one page: keys and values expanded to fp32, scores, a softmax that carries its
// maximum from page to page, and the weighted sum.
//
// A row's arithmetic is the same whichever rows share its tile: slots beyond its limit weigh
// exactly 0 and pages beyond it are left out.
#pragma once

#include <cstdint>

#include "kernels/cpu/elementwise.h"
#include "kernels/cpu/fma_tile.h"

namespace quarot::kernels::cpu {

template <class S>
static void copy_floats(const float* from, int64_t n, float* to) {
    for (int64_t i = 0; i < n; i += 16) S::store(to + i, S::load(from + i));
}

template <class S>
static void expand_keys(const KvBlock& block, float* keys) {
    if (block.bits == 16) {
        copy_floats<S>(static_cast<const float*>(block.codes), block.head_dim * block.slots, keys);
        return;
    }
    const auto* codes = static_cast<const uint8_t*>(block.codes);
    const int64_t slots = block.slots;
    for (int64_t s = 0; s < slots; s += 16) {
        const auto scale = S::load(block.scales + s), zero = S::load_i16(block.zeros + s);
        const auto value = [&](typename S::V q) { return S::mul(scale, S::sub(q, zero)); };
        if (block.bits > 4) {
            for (int64_t d = 0; d < block.head_dim; ++d) {
                S::store(keys + d * slots + s, value(S::load_u8(codes + d * slots + s)));
            }
            continue;
        }
        for (int64_t d = 0; d < block.head_dim; d += 2) {
            typename S::V even, odd;
            S::load_nibbles(codes + d / 2 * slots + s, even, odd);
            S::store(keys + d * slots + s, value(even));
            if (d + 1 < block.head_dim) S::store(keys + (d + 1) * slots + s, value(odd));
        }
    }
}

template <class S>
static void expand_values(const KvBlock& block, float* values) {
    if (block.bits == 16) {
        const int64_t dims = (block.head_dim + 15) / 16 * 16;
        copy_floats<S>(static_cast<const float*>(block.codes), dims * block.slots, values);
        return;
    }
    const auto* codes = static_cast<const uint8_t*>(block.codes);
    const int64_t step = block.bits > 4 ? 16 : 32;
    const int64_t dims = (block.head_dim + step - 1) / step * step;
    for (int64_t s = 0; s < block.slots; ++s, values += dims) {
        const auto scale = S::set1(block.scales[s]);
        const auto zero = S::set1(static_cast<float>(block.zeros[s]));
        const auto value = [&](typename S::V q) { return S::mul(scale, S::sub(q, zero)); };
        for (int64_t d = 0; d < dims; d += step, codes += 16) {
            if (step == 16) {
                S::store(values + d, value(S::load_u8(codes)));
                continue;
            }
            typename S::V low, high;
            S::load_nibbles(codes, low, high);
            S::store(values + d, value(low));
            S::store(values + d + 16, value(high));
        }
    }
}

// Scores of one row become weights; returns what the row's earlier sums are multiplied by.
template <class S>
static float soften_row(float* scores, int64_t slots, int64_t limit, float* maximum,
                        float* lane_sums) {
    using V = typename S::V;
    const V lowest = S::set1(-__builtin_inff());
    V highest = lowest;
    for (int64_t s = 0; s < limit; s += 16) {
        highest = S::max(highest, S::select_first(limit - s, S::load(scores + s), lowest));
    }
    const float before = *maximum;
    const float here = S::reduce_max(highest);
    const float after = here > before ? here : before;
    V sum = S::zero();
    for (int64_t s = 0; s < slots; s += 16) {
        const V e = exp_vector<S>(S::sub(S::load(scores + s), S::set1(after)));
        const V weight = S::select_first(limit - s, e, S::zero());
        S::store(scores + s, weight);
        sum = S::add(sum, weight);
    }
    const V rescale = exp_vector<S>(S::set1(before - after));
    S::store(lane_sums, S::fma(S::load(lane_sums), rescale, sum));
    *maximum = after;
    float factors[16];
    S::store(factors, rescale);
    return factors[0];
}

template <class S>
static void attend_page(const AttentionRows& rows, const float* keys, const float* values,
                        int64_t slots, const int32_t* limits, float* scratch) {
    constexpr int kRows = S::kAttentionRows;
    for (int64_t row = 0; row < rows.n_rows; row += kRows) {
        const int64_t n = rows.n_rows - row < kRows ? rows.n_rows - row : kRows;
        int64_t depth = 0;
        for (int64_t r = 0; r < n; ++r) depth = limits[row + r] > depth ? limits[row + r] : depth;
        if (depth == 0) continue;
        const int64_t used_vectors = (depth + 15) / 16;
        fma_rows<S, kRows>({.a = rows.q + row * rows.head_dim,
                            .lda = rows.head_dim,
                            .b = keys,
                            .ldb = slots,
                            .depth = rows.head_dim,
                            .factors = nullptr,
                            .c = scratch,
                            .ldc = slots},
                           n, used_vectors);
        float factors[kRows];
        for (int64_t r = 0; r < n; ++r) {
            const int64_t limit = limits[row + r];
            float* scores = scratch + r * slots;
            if (limit > 0) {
                factors[r] = soften_row<S>(scores, 16 * used_vectors, limit, rows.maxima + row + r,
                                           rows.sums + 16 * (row + r));
                continue;
            }
            factors[r] = 1.0f;
            for (int64_t s = 0; s < 16 * used_vectors; s += 16) S::store(scores + s, S::zero());
        }
        fma_rows<S, kRows>({.a = scratch,
                            .lda = slots,
                            .b = values,
                            .ldb = rows.dims,
                            .depth = depth,
                            .factors = factors,
                            .c = rows.out + row * rows.dims,
                            .ldc = rows.dims},
                           n, rows.dims / 16);
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
