// Causal attention over the paged cache, prefill chunks and decode steps mixed.
//
// One order of sums for every path: the context is cut into chunks of 256 positions, counted from
// position 0; a chunk is walked in tiles, with a running maximum; chunks are added in order.
// Running maxima are whole powers of two, so that changing them is exact. What a token may not see
// weighs exactly 0. So the bits of a token's result depend on its position, its q and what it sees,
// not on the batch around it, and prefill whole, in chunks or token by token give the same bits.
#pragma once

#include <cstdint>

#include "kernels/cuda/kv_batch.h"
#include "kernels/cuda/kv_view.h"
#include "kernels/cuda/rows_view.h"
#include "kernels/cuda/stream.h"

namespace quarot::kernels::cuda {

inline constexpr int kChunkTokens = 256;

// What is added to keys that are kept without their bias: with h = head_dim / 2 the key at position
// p gets sum over i < h of cos(p, i) basis[i] + sin(p, i) basis[h + i].
struct KeyBiasView {
    const float* basis = nullptr;  // [n_kv_heads, head_dim, head_dim]; null: nothing is added
    const float* cos = nullptr;    // [n_positions, head_dim / 2]
    const float* sin = nullptr;
};

struct AttentionCall {
    RowsView q;  // [n_tokens, n_heads * head_dim], F32, F16 or BF16; rows 16-byte aligned
    int64_t n_heads = 0;
    KvView kv;
    int64_t layer = 0;
    float scale = 1.0f;      // on q . k, positive
    float score_cap = 0.0f;  // scores become cap * tanh(score / cap); 0: as they are
    int64_t window = 0;      // positions a token sees, itself included; 0: all
    KeyBiasView key_bias;    // its head_dim is even
    RowsView k = {};         // of keys by channel those that this batch appended; else not read
    // The kernel before wrote older positions too: they are not read while it runs.
    bool all_is_new = false;
    KvBatch batch;
    int64_t max_context = 0;    // no position of the batch reaches it; sizes grid and workspace
    void* workspace = nullptr;  // attention_workspace_bytes(), 16-byte aligned
    RowsView out;               // as q, not q
};

// Which kernels serve a call. Tensor cores (16-bit arithmetic, fp32 sums): 16-bit q, K and V in one
// container, heads of 64 or 128, pages of a multiple of 64 positions, no key bias. Keys by channel:
// 4 bits, blocks of 32 or 64, rows of halves. Unpacked: the same over K and V as halves, keys with
// their bias, where the cache has room for them. All else: fp32 arithmetic on dequantized values.
enum class AttentionPath { TensorCores, Unpacked, General };
AttentionPath attention_path(const AttentionCall& call);
const char* name_of(AttentionPath path);

// Partial results of contexts that several CTAs share. Error{OutOfMemory}: does not fit 63 bits.
int64_t attention_workspace_bytes(const AttentionCall& call);

// Only enqueues. Contexts of batches with as many tokens as sequences, and of sequences with one
// token, are split over the device; other tokens share tiles of K and V. The batch's arrays, and
// the cache before the batch's own positions, were written before the kernels of this step began:
// they may be read while the predecessor runs.
void attention(const AttentionCall& call, Stream stream);

}  // namespace quarot::kernels::cuda
