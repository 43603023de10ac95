// What one instruction set offers: a table of row, panel and page kernels over plain C types.
//
// Each tier is one translation unit compiled with its own flags; it includes no standard templates,
// so that no inline function built for a newer machine can win at link time. All tiers give the
// same bits: every float sum runs over 16 lanes and is folded in one fixed order.
#pragma once

#include <cstdint>

#include "kernels/functions.h"

namespace quarot::kernels::cpu {

// Outputs that stand together in one panel of an integer weight.
constexpr int64_t kPanelOutputs = 32;
// Token slots of a packed activation tile; a tier fills the first `token_tile` of them.
constexpr int64_t kTileSlots = 16;
// Dense dot products are summed in blocks of this many inputs, block sums added in order.
constexpr int64_t kDotBlock = 1024;

enum class FloatFormat : int32_t { F32, BF16, F16 };

// lo and hi of a row; `finite` is false if it holds a NaN or Inf.
struct RowRange {
    float lo;
    float hi;
    bool finite;
};

// code = clamp(round((x - origin) / scale) + zero, q_min, q_max) - shift
struct RowQuantizer {
    float scale;
    float zero;
    float q_min;
    float q_max;
    float shift;
    float origin = 0.0f;
};

// 32 outputs of an integer weight. Codes are unsigned, q - q_min, in steps of 4 inputs:
//   nibbles: 64 bytes a step: byte 4 r + j holds input j of output r (low) and r + 16 (high)
//   bytes:  128 bytes a step: byte 4 r + j holds input j of output r
struct IntPanel {
    const uint8_t* codes;
    const float* scales;       // [32]
    const int32_t* zeros;      // [32]: zero - q_min
    const int32_t* code_sums;  // [32]: sum of the unsigned codes
    const float* bias;         // [32] or null
    bool nibbles;
    // What mixed_panel needs to know of groups of inputs: their size, and how far the zeros of a
    // group stand from those of the one before.
    int64_t group_inputs = 0;  // 0: one group
    int64_t zeros_stride = 0;
    int32_t largest_code = 255;  // of their width
    // From one panel to the next.
    int64_t next_scales = kPanelOutputs, next_zeros = kPanelOutputs, next_sums = kPanelOutputs;
    // [32]: (sum of code - zero) * scale of a segment; read by int_segments where there are bases.
    const float* base_scales = nullptr;
};

// Up to 16 tokens: codes [steps][16][4], for int_panel as the tier packs them, and what the
// epilogue needs of each token.
struct TokenTile {
    const int8_t* codes;
    const float* scales;         // [n_tokens]
    const int32_t* offsets;      // [n_tokens] or null
    const int32_t* offset_sums;  // [n_tokens]: sum of (code - offset)
    int64_t n_tokens;
    const float* bases = nullptr;  // [n_tokens] or null: of real zero points
    int64_t n_inputs = 0;          // that were summed; read where there are bases
    int32_t largest_code = 128;    // in size, of their width
    int64_t n_steps = 0;           // of a segment
};

// One panel and tiles of tokens between the borders of groups, [count] each. All but the last tile
// have token_tile tokens.
struct SegmentList {
    const IntPanel* panels;
    const TokenTile* tokens;  // of the first tile
    int64_t count;
    int64_t n_tiles = 1;
    int64_t tile_bytes = 0;  // from one tile's tokens to those of the next

    const TokenTile* tile(int64_t t) const {
        return reinterpret_cast<const TokenTile*>(reinterpret_cast<const char*>(tokens) +
                                                  t * tile_bytes);
    }
};

struct FloatOut {
    float* data;
    int64_t stride;
    int64_t n_outputs;  // columns to write
    bool accumulate;
};

struct DensePanel {
    const void* weights;  // [n_outputs, n_inputs]
    FloatFormat format;
    int64_t n_inputs;
    const float* bias;  // [n_outputs] or null
    float* widened;     // scratch [n_outputs, dense_stride(n_inputs)]
};

// Inputs of a quantized panel that become floats at a time, where many rows share them.
constexpr int64_t kMixedBlock = 128;

struct FloatRows {
    const float* data;
    int64_t stride;
    int64_t n_rows;
    const float* scales = nullptr;  // [n_rows], applied to a row's sums, or null: ones
};

// Columns that stand together in one panel of packed activations: [rows][64], zeros where the last
// panel has no more columns.
constexpr int64_t kGramPanel = 64;

// gram [n_rows, n_columns] += a^T b in fp32 sums over `depth`, for one run of rows of two panels.
struct GramTile {
    const float* a;
    const float* b;
    int64_t depth;
    int64_t n_rows;     // columns of a
    int64_t n_columns;  // columns of b
    bool lower_only;    // a is b: what stands above the diagonal is left with any numbers
    double* gram;
    int64_t stride;
};

// Row stride of a widened panel: whole vectors, and one more so that rows fall into other sets.
constexpr int64_t dense_stride(int64_t n_inputs) {
    return (n_inputs + 15) / 16 * 16 + 16;
}

// A packed tile, for whole blocks of 64 inputs.
constexpr int64_t panel_tile_bytes(int64_t steps) {
    return (steps + 15) / 16 * 16 * 4 * kTileSlots;
}

// One head's K or V in one page. bits <= 4: two codes a byte; 5..8: a byte each; 16: fp32.
//   K: [dim pair or dim][slots], pair byte: even dim low; V: [slot][dims], of every 32 dims byte i
//   holds dim i (low) and i + 16 (high). slots and dims are padded to whole vectors.
// K by channel has scales and offsets by dim, and is looked at block by block of a page.
struct KvBlock {
    const void* codes;
    const float* scales;   // [slots], or null: half_scales
    const int16_t* zeros;  // [slots]
    int64_t head_dim;
    int64_t slots;
    int32_t bits;
    int64_t stride;                            // of K: slots from one dim or pair to the next
    const uint16_t* channel_scales = nullptr;  // F16 [head_dim], or null
    const uint16_t* channel_offsets = nullptr;
    const uint16_t* half_scales = nullptr;  // F16 [slots]
};

// The running state of query rows over the pages of their context.
struct AttentionRows {
    const float* q;       // [n_rows, head_dim], scaled
    const float* q_sums;  // [n_rows]: of the first values, as many as a stored key has
    float* maxima;        // [n_rows]
    float* sums;          // [n_rows, 16]: of weights, in lanes
    float* out;           // [n_rows, dims]
    int64_t n_rows;
    int64_t head_dim;
    int64_t dims;  // head_dim padded as V's
};

// One page of one head, and scratch.
struct AttentionPage {
    KvBlock k, v;
    const float*
        below_keys;         // [rows' head_dim - k.head_dim][slots] further values of keys, or null
    const int32_t* starts;  // [n_rows]: the first slot that row r sees; null: 0
    float score_cap;        // 0: none
    float* scores;          // [8, slots]
    float* keys;            // [k.head_dim, slots]
    float* values;          // [slots, dims]
    float* zeros;           // [slots]
    float* folded;          // [n_rows, rows' head_dim]: of keys by channel, queries times scales
    float* folded_sums;     // [n_rows]: and their products with the offsets
};

struct IsaKernels {
    const char* name;
    int64_t token_tile;
    int64_t panel_tokens;  // of a tile that int_panel reads

    // Rows.
    RowRange (*range_of)(const float* x, int64_t n);
    // Returns the sum of the codes written.
    int32_t (*quantize_row)(const float* x, int64_t n, const RowQuantizer& quantizer, void* codes);
    void (*dequantize_row)(const int8_t* codes, int64_t n, float scale, float offset, float* out);
    void (*widen_row)(const void* stored, FloatFormat format, int64_t n, float* out);
    // gain may be null: ones, and bias: zeros. out may be x.
    void (*rms_norm_row)(const float* x, int64_t n, const float* gain, float eps, float* out);
    void (*layer_norm_row)(const float* x, int64_t n, const float* gain, const float* bias,
                           float eps, float* out);
    // As Backend::scale; cap 0: none.
    void (*scale_row)(const float* x, int64_t n, float scale, float cap, float* out);
    // up may be null: ones.
    void (*activate_row)(Activation activation, const float* gate, const float* up, int64_t n,
                         float* out);
    void (*rope_head)(float* x, const float* cos, const float* sin, int64_t half);
    void (*exp_row)(const float* x, int64_t n, float* out);
    // S (x) I_inner of order n in place, n a power of two; the input is multiplied by `factor`.
    void (*sylvester)(float* x, int64_t n, int64_t inner, float factor);
    // x rounded to the nearest half, finite values beyond its range to +-65504; NaN, Inf give NaN.
    void (*round_to_half)(float* x, int64_t n);
    // x [order, width] = D x; scratch [2, order, 64].
    void (*dense_mix)(const float* d, int64_t order, float* x, int64_t width, float* scratch);

    // Linears.
    void (*pack_tile)(const int8_t* codes, int64_t stride, int64_t n_tokens, int64_t steps,
                      int8_t* tile);
    // The same for int_panel, up to panel_tokens rows; their layout is the tier's, and takes
    // panel_tile_bytes.
    void (*pack_panel_tile)(const int8_t* codes, int64_t stride, int64_t n_tokens, int64_t steps,
                            int8_t* tile);
    // One panel times packed tiles of panel_tokens tokens (the last may be short), tile_bytes
    // apart.
    void (*int_panel)(const IntPanel& panel, int64_t steps, const TokenTile& first_tile,
                      int64_t n_tokens, int64_t tile_bytes, const FloatOut& out);
    // sums [n_tokens][32] += all segments of a panel times those of the tiles, without bias. Null:
    // there is nothing better than int_panel for each.
    void (*int_segments)(const SegmentList& segments, float* sums);
    // The same for one row of codes, sums [32]; base_scales are not read. Null: int_row for each.
    void (*int_segments_row)(const SegmentList& segments, float* sums);
    // n_panels panels, panel_bytes apart, times one row of codes.
    void (*int_row)(const IntPanel& first, int64_t n_panels, int64_t panel_bytes, int64_t steps,
                    const TokenTile& row, const FloatOut& out);
    // One panel times the tokens of one tile, word_stride bytes from one step to the next, for sums
    // that need not fit 32 bits.
    void (*int_wide)(const IntPanel& panel, int64_t steps, const TokenTile& tile,
                     int64_t word_stride, const FloatOut& out);
    void (*dense_panel)(const DensePanel& panel, const FloatRows& in, int64_t n_outputs,
                        const FloatOut& out);
    // A quantized panel times float rows; scratch [kMixedBlock + n_rows][32].
    void (*mixed_panel)(const IntPanel& panel, int64_t n_inputs, const FloatRows& in,
                        float* scratch, const FloatOut& out);

    void (*gram_tile)(const GramTile& tile);

    // Attention.
    // One page: limits[r] is how many of its slots row r may see (<= 0: none), counted from slot 0;
    // with starts[r] > 0 it sees those from there on, at least one.
    void (*attend_page)(const AttentionRows& rows, const AttentionPage& page,
                        const int32_t* limits);
    // out[r] = state.out[r] / sum, head_dim elements.
    void (*finish_row)(const float* row_out, const float* lane_sums, int64_t head_dim, float* out);
};

const IsaKernels& scalar_kernels();
#if defined(__x86_64__)
const IsaKernels& avx2_kernels();
const IsaKernels& avx512vnni_kernels();
const IsaKernels& amx_kernels();
#endif

}  // namespace quarot::kernels::cpu
