// The integer product without vector instructions: the scalar tier's, and the one of every tier
// where results need 64 bits.
#pragma once

#include "kernels/cpu/gemm_int.h"

namespace quarot::kernels::cpu {

// sums[32] of one token whose codes stand in words `word_stride` apart.
template <class S>
static void sum_products(const IntPanel& panel, int64_t steps, const int8_t* codes,
                         int64_t word_stride, uint32_t* sums) {
    for (int64_t o = 0; o < kPanelOutputs; ++o) sums[o] = 0;
    const uint8_t* w = panel.codes;
    for (int64_t k = 0; k < steps; ++k, w += panel.nibbles ? 64 : 128, codes += word_stride) {
        for (int64_t o = 0; o < kPanelOutputs; ++o) {
            int32_t sum = 0;
            for (int64_t j = 0; j < 4; ++j) {
                const int32_t code = !panel.nibbles ? w[4 * o + j]
                                     : o < 16       ? w[4 * o + j] & 15
                                                    : w[4 * (o - 16) + j] >> 4;
                sum += code * codes[j];
            }
            sums[o] += static_cast<uint32_t>(sum);
        }
    }
}

template <class S>
static void int_panel(const IntPanel& panel, int64_t steps, const TokenTile& first_tile,
                      int64_t n_tokens, int64_t tile_bytes, const FloatOut& out) {
    for (int64_t token = 0; token < n_tokens; ++token) {
        const int8_t* codes =
            first_tile.codes + token / kTileSlots * tile_bytes + token % kTileSlots * 4;
        uint32_t sums[kPanelOutputs];
        sum_products<S>(panel, steps, codes, 4 * kTileSlots, sums);
        finish_token<S>(panel, sums, first_tile, token, out, out.data + token * out.stride);
    }
}

// Also the wide product of every tier: rare enough to do without vector code.
template <class S>
static void int_wide(const IntPanel& panel, int64_t steps, const TokenTile& tile,
                     int64_t word_stride, const FloatOut& out) {
    for (int64_t token = 0; token < tile.n_tokens; ++token) {
        uint32_t sums[kPanelOutputs];
        sum_products<S>(panel, steps, tile.codes + 4 * token, word_stride, sums);
        finish_wide_token<S>(panel, sums, tile, token, out, out.data + token * out.stride);
    }
}

template <class S>
static void int_row(const IntPanel& first, int64_t n_panels, int64_t panel_bytes, int64_t steps,
                    const TokenTile& row, const FloatOut& out) {
    for (int64_t p = 0; p < n_panels; ++p) {
        const IntPanel panel = panel_at<S>(first, p, panel_bytes);
        const FloatOut columns = columns_of_panel<S>(out, p);
        uint32_t sums[kPanelOutputs];
        sum_products<S>(panel, steps, row.codes, 4, sums);
        finish_token<S>(panel, sums, row, 0, columns, columns.data);
    }
}

}  // namespace quarot::kernels::cpu
