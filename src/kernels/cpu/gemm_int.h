// What the integer product of every tier shares: corrections, scales and the tiled activations.
//
// With unsigned weight codes u = q - q_min, z = zero - q_min and activation codes a, offset o:
//   sum (a - o)(u - z) = sum a u - o sum u - z sum (a - o)
// The sums run over one segment in int32: the whole row, or what lies between two borders of
// groups. Sums of a u fit, the corrections may wrap; the result may not, which the caller checks
// from the widths of the codes, and takes int_wide where it could.
#pragma once

#include <cstdint>
#include <cstring>

#include "kernels/cpu/isa_kernels.h"

namespace quarot::kernels::cpu {

static inline float base_part(const IntPanel& panel, int64_t o, const TokenTile& tile,
                              int64_t token) {
    const int64_t sum = panel.code_sums[o] - tile.n_inputs * panel.zeros[o];
    return static_cast<float>(sum) * panel.scales[o] * tile.bases[token];
}

// Finishes the 32 raw sums of one token: y = (float(acc) * scale_w) * scale_a (+ bias) (+ y), with
// real zero points (float(sum of u - z) * scale_w) * base before the bias.
template <class S>
static void finish_token(const IntPanel& panel, const uint32_t* raw, const TokenTile& tile,
                         int64_t token, const FloatOut& out, float* y) {
    const auto offset_sum = static_cast<uint32_t>(tile.offset_sums[token]);
    const uint32_t offset =
        tile.offsets == nullptr ? 0 : static_cast<uint32_t>(tile.offsets[token]);
    const float scale = tile.scales[token];
    for (int64_t o = 0; o < out.n_outputs; ++o) {
        const uint32_t corrected = raw[o] - static_cast<uint32_t>(panel.zeros[o]) * offset_sum -
                                   offset * static_cast<uint32_t>(panel.code_sums[o]);
        float value = static_cast<float>(static_cast<int32_t>(corrected)) * panel.scales[o] * scale;
        if (tile.bases != nullptr) value += base_part(panel, o, tile, token);
        if (panel.bias != nullptr) value += panel.bias[o];
        y[o] = out.accumulate ? y[o] + value : value;
    }
}

// As finish_token where the result of the corrections needs 64 bits; the raw sums do not.
template <class S>
static void finish_wide_token(const IntPanel& panel, const uint32_t* raw, const TokenTile& tile,
                              int64_t token, const FloatOut& out, float* y) {
    const int64_t offset = tile.offsets == nullptr ? 0 : tile.offsets[token];
    for (int64_t o = 0; o < out.n_outputs; ++o) {
        const int64_t acc = static_cast<int32_t>(raw[o]) -
                            static_cast<int64_t>(panel.zeros[o]) * tile.offset_sums[token] -
                            offset * panel.code_sums[o];
        float value = static_cast<float>(acc) * panel.scales[o] * tile.scales[token];
        if (tile.bases != nullptr) value += base_part(panel, o, tile, token);
        if (panel.bias != nullptr) value += panel.bias[o];
        y[o] = out.accumulate ? y[o] + value : value;
    }
}

// Rows of codes become [steps][16 slots][4 codes]; slots past n_tokens are left as they are.
template <class S>
static void pack_tile(const int8_t* codes, int64_t stride, int64_t n_tokens, int64_t steps,
                      int8_t* tile) {
    for (int64_t k = 0; k < steps; ++k) {
        for (int64_t t = 0; t < n_tokens; ++t) {
            std::memcpy(tile + (k * kTileSlots + t) * 4, codes + t * stride + k * 4, 4);
        }
    }
}

// Tile t of the tokens that follow one another from `first`.
template <class S>
static TokenTile tile_at(const TokenTile& first, int64_t token, int64_t n_tokens, int64_t tile,
                         int64_t tile_bytes) {
    TokenTile at = first;
    at.codes += tile * tile_bytes;
    at.scales += token;
    at.offset_sums += token;
    if (at.offsets != nullptr) at.offsets += token;
    if (at.bases != nullptr) at.bases += token;
    at.n_tokens = n_tokens;
    return at;
}

// Panel p of the panels that follow one another from `first`.
template <class S>
static IntPanel panel_at(const IntPanel& first, int64_t p, int64_t panel_bytes) {
    IntPanel at = first;
    at.codes += p * panel_bytes;
    at.scales += p * at.next_scales;
    at.zeros += p * at.next_zeros;
    at.code_sums += p * at.next_sums;
    if (at.bias != nullptr) at.bias += p * kPanelOutputs;
    return at;
}

template <class S>
static FloatOut columns_of_panel(const FloatOut& out, int64_t p) {
    FloatOut at = out;
    const int64_t rest = out.n_outputs - p * kPanelOutputs;
    at.data += p * kPanelOutputs;
    at.n_outputs = rest < kPanelOutputs ? rest : kPanelOutputs;
    return at;
}

}  // namespace quarot::kernels::cpu
