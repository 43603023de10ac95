// The integer product by AMX tiles: 16 tokens x 64 inputs times 64 inputs x 16 outputs at once, two
// tiles of tokens times a panel's 32 outputs in registers.
//
// A tile of weights is 16 steps of a panel as it lies, bytes; nibbles are unpacked into that form
// for kDepthSteps steps and up to kGroupTiles tiles of tokens at a time: with two tiles of as many
// inputs they fit into L1. A tile of tokens is 16 rows of 64 bytes. Sums lie in memory between two
// depths.
#pragma once

#include <immintrin.h>

#include "kernels/cpu/gemm_int_avx512vnni.h"

namespace quarot::kernels::cpu {

constexpr int64_t kAmxTokens = 16;
static_assert(kAmxTokens <= kTileSlots);
constexpr int64_t kBlockSteps = 16;                  // of a tile: 64 inputs
constexpr int64_t kTileBytes = 1024;                 // 16 rows of 64 bytes
constexpr int64_t kDepthSteps = 128;                 // unpacked at a time: 16 KB
constexpr int64_t kGroupTiles = 32;                  // of tokens that share unpacked weights
constexpr int64_t kBytesOfStep = 4 * kPanelOutputs;  // of a panel as bytes

// What LDTILECFG reads: tiles 0 to 3 hold sums, 4 and 5 tokens, 6 and 7 weights.
struct alignas(64) TileConfig {
    uint8_t palette = 1;
    uint8_t start_row = 0;
    uint8_t reserved[14] = {};
    uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

// Blocks of 64 inputs, one behind the other; in each a row of 64 bytes for each token. The rows of
// codes are padded with zeros to whole blocks.
static void pack_tile_amx(const int8_t* codes, int64_t stride, int64_t n_tokens, int64_t steps,
                          int8_t* tile) {
    for (int64_t k = 0; k < steps; k += kBlockSteps) {
        for (int64_t t = 0; t < n_tokens; ++t) {
            _mm512_storeu_si512(tile + k / kBlockSteps * kTileBytes + t * 64,
                                _mm512_loadu_si512(codes + t * stride + 4 * k));
        }
    }
}

// `steps` steps of a panel as bytes, zeros behind them to a whole block.
static void unpack_steps(const IntPanel& panel, int64_t first, int64_t steps, uint8_t* to) {
    const __m512i mask = _mm512_set1_epi8(15);
    const uint8_t* from = panel.codes + first * (panel.nibbles ? 64 : kBytesOfStep);
    int64_t k = 0;
    for (; k < steps; ++k, to += kBytesOfStep) {
        _mm_prefetch(from + 8192, _MM_HINT_T0);
        const __m512i bytes = _mm512_loadu_si512(from);
        if (panel.nibbles) {
            _mm512_store_si512(to, _mm512_and_si512(bytes, mask));
            _mm512_store_si512(to + 64, _mm512_and_si512(_mm512_srli_epi16(bytes, 4), mask));
            from += 64;
        } else {
            _mm512_store_si512(to, bytes);
            _mm512_store_si512(to + 64, _mm512_loadu_si512(from + 64));
            from += kBytesOfStep;
        }
    }
    for (; k % kBlockSteps != 0; ++k, to += kBytesOfStep) {
        _mm512_store_si512(to, _mm512_setzero_si512());
        _mm512_store_si512(to + 64, _mm512_setzero_si512());
    }
}

// Sums of one or two tiles of tokens, [16][32] each, become or get the products of n_blocks blocks.
template <bool kTwo>
static void multiply_blocks(const int8_t* tokens, int64_t tile_bytes, const uint8_t* weights,
                            int64_t n_blocks, bool is_first, int32_t* sums) {
    constexpr int64_t kSumBytes = 4 * kPanelOutputs;
    int32_t* const second = sums + kAmxTokens * kPanelOutputs;
    if (is_first) {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
    } else {
        _tile_loadd(0, sums, kSumBytes);
        _tile_loadd(1, sums + 16, kSumBytes);
        if constexpr (kTwo) {
            _tile_loadd(2, second, kSumBytes);
            _tile_loadd(3, second + 16, kSumBytes);
        }
    }
    for (int64_t b = 0; b < n_blocks; ++b) {
        _tile_loadd(6, weights + b * kBlockSteps * kBytesOfStep, kBytesOfStep);
        _tile_loadd(7, weights + b * kBlockSteps * kBytesOfStep + 64, kBytesOfStep);
        _tile_loadd(4, tokens + b * kTileBytes, 64);
        _tile_dpbsud(0, 4, 6);
        _tile_dpbsud(1, 4, 7);
        if constexpr (kTwo) {
            _tile_loadd(5, tokens + tile_bytes + b * kTileBytes, 64);
            _tile_dpbsud(2, 5, 6);
            _tile_dpbsud(3, 5, 7);
        }
    }
    _tile_stored(0, sums, kSumBytes);
    _tile_stored(1, sums + 16, kSumBytes);
    if constexpr (kTwo) {
        _tile_stored(2, second, kSumBytes);
        _tile_stored(3, second + 16, kSumBytes);
    }
}

// All sums of up to kGroupTiles tiles.
static void multiply_group(const IntPanel& panel, int64_t steps, const int8_t* tiles,
                           int64_t n_tiles, int64_t tile_bytes, int32_t* sums) {
    alignas(64) uint8_t weights[kDepthSteps * kBytesOfStep];
    for (int64_t k = 0; k < steps; k += kDepthSteps) {
        const int64_t n = steps - k < kDepthSteps ? steps - k : kDepthSteps;
        unpack_steps(panel, k, n, weights);
        const int64_t n_blocks = (n + kBlockSteps - 1) / kBlockSteps;
        for (int64_t t = 0; t < n_tiles; t += 2) {
            const int8_t* tokens = tiles + t * tile_bytes + k / kBlockSteps * kTileBytes;
            int32_t* to = sums + t * kAmxTokens * kPanelOutputs;
            (t + 1 < n_tiles ? multiply_blocks<true> : multiply_blocks<false>)(tokens, tile_bytes,
                                                                               weights, n_blocks,
                                                                               k == 0, to);
        }
    }
}

static void int_panel_amx(const IntPanel& panel, int64_t steps, const TokenTile& first_tile,
                          int64_t n_tokens, int64_t tile_bytes, const FloatOut& out) {
    constexpr int64_t kGroup = kGroupTiles * kAmxTokens;
    alignas(64) int32_t sums[kGroup * kPanelOutputs];
    const TileConfig config;
    _tile_loadconfig(&config);
    for (int64_t token = 0; token < n_tokens; token += kGroup) {
        const int64_t n = n_tokens - token < kGroup ? n_tokens - token : kGroup;
        const int8_t* tiles = first_tile.codes + token / kAmxTokens * tile_bytes;
        multiply_group(panel, steps, tiles, (n + kAmxTokens - 1) / kAmxTokens, tile_bytes, sums);
        for (int64_t t = 0; t < n; ++t) {
            float* y = out.data + (token + t) * out.stride;
            const int32_t* raw = sums + t * kPanelOutputs;
            finish_lanes(_mm512_load_si512(raw), panel, 0, first_tile, token + t, out, y);
            finish_lanes(_mm512_load_si512(raw + 16), panel, 16, first_tile, token + t, out, y);
        }
    }
    _tile_release();
}

}  // namespace quarot::kernels::cpu
