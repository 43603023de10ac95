// Where K and V of every position lie in device memory, as kernels see it.
//
// memory: [layer][page][KV head][tile]. A tile holds up to 64 consecutive positions of one head, K
// and V together, so that attention reads one contiguous piece a tile:
//
//   K codes   [tile_tokens][row_bytes]   K scales [tile_tokens] f32   K zeros [tile_tokens] i16
//   V codes   ...                        V scales                     V zeros
//
// A row of codes is a sequence of 16-bit units. With U = ceil(head_dim / planes) units a row,
// plane p of unit u is dimension p U + u:
//
//   2..4 bits  4 planes, a nibble each      5..8 bits  2 planes, a byte each      halves  1 plane
//
// One mask then turns a register of two units into two neighbouring dimensions of one plane, for K
// by ldmatrix and for V by its transposing form, so that neither needs another order. 16-byte
// pieces of a row are permuted (swizzled_piece): eight rows of one piece meet all 32 banks.
//
// Keys by channel have factors of channels in place of scales and zeros of positions, a block of
// positions after the other: a scale and an offset, halves, of each dimension (channel_place).
// Behind the pages stand the keys of every sequence's newest block as they came:
//
//   [layers + 1][seats][KV heads][block][head_dim] halves or floats
//
// those of the layer behind the last one being of the block that the step of the layer that runs
// has left (kernels/channel_keys.h). Where tensor cores cannot read the pages, room for one layer
// of halves follows (unpacked_view).
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/host_device.h"

namespace quarot::kernels::cuda {

inline constexpr int kTileTokens = 64;  // of a tile, unless a page holds fewer
inline constexpr int kMaxHeadDim = 256;

enum class KvContainer { Nibble, Byte, Half, Float };

QUAROT_HOST_DEVICE constexpr int planes_of(KvContainer container) {
    return container == KvContainer::Nibble ? 4 : container == KvContainer::Byte ? 2 : 1;
}
QUAROT_HOST_DEVICE constexpr bool is_coded(KvContainer container) {
    return container == KvContainer::Nibble || container == KvContainer::Byte;
}

// Place in the row of its 16-byte piece `piece`.
QUAROT_HOST_DEVICE constexpr int swizzled_piece(int row, int piece, int row_bytes) {
    if (row_bytes == 32) return piece ^ (row >> 2 & 1);
    if (row_bytes == 64) return piece ^ (row >> 1 & 3);
    return row_bytes % 128 == 0 ? piece ^ (row & 7) : piece;
}

// K or V inside a tile.
struct KvPart {
    KvContainer container = KvContainer::Nibble;
    int bits = 4;       // of a code; 16 where values are kept
    float clip = 1.0f;  // of the range that is quantized
    bool range_includes_zero = true;
    bool half_scales = false;  // of positions: numbers that F16 holds, kept as floats
    int units = 0;             // a row; floats count as two
    int row_bytes = 0;         // 2 units
    int codes_at = 0;          // bytes from the start of the tile
    int scales_at = 0;         // or of factors of channels
    int zeros_at = 0;
    int block = 0;  // of keys by channel: positions that share a scale; else 0

    QUAROT_HOST_DEVICE constexpr bool by_channel() const { return block > 0; }
};

// Place of one code or value in a tile: its byte and, of a nibble, its shift.
struct KvCodePlace {
    int byte = 0;
    int shift = 0;
};

QUAROT_HOST_DEVICE constexpr KvCodePlace code_place(const KvPart& part, int slot, int dim) {
    const bool wide = part.container == KvContainer::Float;
    const int plane = wide ? 0 : dim / part.units;
    const int unit = wide ? 2 * dim : dim % part.units;
    const int piece = swizzled_piece(slot, unit / 8, part.row_bytes);
    const int byte = part.codes_at + slot * part.row_bytes + 16 * piece + unit % 8 * 2;
    if (part.container == KvContainer::Nibble) return {byte + plane / 2, plane % 2 * 4};
    return {byte + plane, 0};
}

// Bytes of the factors of a block of keys by channel. A unit's planes have an entry of 8 bytes for
// two neighbouring units: two scales, then two offsets.
QUAROT_HOST_DEVICE constexpr int channel_block_bytes(int units, int planes) {
    return (units + 15) / 16 * planes * 64;
}

// Byte of the scale of dimension `dim` in the block of position `slot` of a tile; its offset lies 4
// bytes further. Of 16 units, pairs t and t + 4 lie side by side, where lane t of four wants them.
QUAROT_HOST_DEVICE constexpr int channel_place(const KvPart& part, int slot, int dim) {
    const int planes = planes_of(part.container);
    const int plane = dim / part.units, unit = dim % part.units, pair = unit % 16 / 2;
    const int entry = ((unit / 16 * planes + plane) * 4 + pair % 4) * 2 + pair / 4;
    return part.scales_at + slot / part.block * channel_block_bytes(part.units, planes) +
           8 * entry + unit % 2 * 2;
}

// The whole cache.
struct KvView {
    std::byte* memory = nullptr;  // 128-byte aligned
    int64_t n_layers = 0;
    int64_t n_pages = 0;
    int n_kv_heads = 0;
    int head_dim = 0;
    int page_tokens = 0;
    int tile_tokens = 0;
    int64_t tile_bytes = 0;  // a multiple of 128
    KvPart k;
    KvPart v;
    // Of keys by channel, which newest_keys finds.
    int64_t seats = 0;
    int64_t newest_at = 0;  // bytes from `memory`
    int newest_bytes = 2;   // of one value
    // Bytes from `memory` to the room for one layer of halves; -1: none.
    int64_t unpacked_at = -1;

    QUAROT_HOST_DEVICE constexpr int64_t tiles_per_page() const {
        return page_tokens / tile_tokens;
    }
    // Bytes from `memory` to the tile of position `slot` of a page.
    QUAROT_HOST_DEVICE constexpr int64_t tile_at(int64_t layer, int64_t page, int64_t head,
                                                 int64_t slot) const {
        return (((layer * n_pages + page) * n_kv_heads + head) * tiles_per_page() +
                slot / tile_tokens) *
               tile_bytes;
    }
    // [k.block, head_dim]; `layer` n_layers: of the block that the step has left.
    QUAROT_HOST_DEVICE std::byte* newest_keys(int64_t layer, int64_t seat, int64_t head) const {
        const int64_t index = (layer * seats + seat) * n_kv_heads + head;
        return memory + newest_at + index * k.block * head_dim * newest_bytes;
    }
};

// One layer of `kv` as halves, in pages of the same numbers: of kv.unpacked_at.
inline KvView unpacked_view(const KvView& kv) {
    const KvPart keys{.container = KvContainer::Half,
                      .bits = 16,
                      .units = kv.head_dim,
                      .row_bytes = 2 * kv.head_dim};
    KvView view = kv;
    if (kv.memory != nullptr) view.memory = kv.memory + kv.unpacked_at;
    view.n_layers = 1;
    view.k = view.v = keys;
    view.v.codes_at = kv.tile_tokens * keys.row_bytes;
    view.tile_bytes = 2 * view.v.codes_at;
    view.unpacked_at = -1;
    return view;
}

}  // namespace quarot::kernels::cuda
