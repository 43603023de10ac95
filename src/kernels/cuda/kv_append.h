// New tokens into the cache: RoPE, the online transform over a head (R3), quantizing and storing,
// in one kernel or apart.
#pragma once

#include <cstdint>

#include "kernels/cuda/kv_batch.h"
#include "kernels/cuda/kv_view.h"
#include "kernels/cuda/rows_view.h"
#include "kernels/cuda/stream.h"

namespace quarot::kernels::cuda {

// cos and sin of every position; pairs are (i, i + head_dim / 2).
struct RopeView {
    const float* cos = nullptr;  // [n_positions, head_dim / 2]; null: no RoPE
    const float* sin = nullptr;
};

// (D (x) S_{2^m}) over the head_dim = dense_order * 2^m values of a head, as linalg::Mixer.
struct HeadTransform {
    int dense_order = 0;  // 0: no transform
    // D transposed, [dense_order, dense_stride], as Rotation has it; not read where dense_order
    // is 1.
    const float* dense = nullptr;
    int dense_stride = 0;
    float factor = 1.0f;  // on the result: 1 / sqrt(head_dim), unless it is in `dense`
};

struct AppendCall {
    RowsView q = {};  // [n_tokens, n_heads * head_dim]; in place; no data: only k and v
    RowsView k = {};  // [n_tokens, n_kv_heads * head_dim]; rows 16-byte aligned, as all rows here
    RowsView v = {};
    int64_t head_dim = 0;
    RopeView rope = {};            // on q and k
    HeadTransform transform = {};  // on q and k, after RoPE
    KvView kv = {};                // no memory: nothing is stored, and k is changed in place
    int64_t layer = 0;
    KvBatch batch = {};
    int32_t site = 0;
    int32_t* bad_site = nullptr;  // [n_tokens], set to a large number by the caller; or null
};

// RoPE and transform on q in place and on k in fp32, then k and v into the cache: codes, scales and
// zero points by the formulas of tensor/affine.h, bit for bit, of the fp32 values. Where the cache
// holds halves, rounded to nearest even. A vector with a NaN or Inf, or whose range fp32 does not
// hold, gets codes 0, scale 1 and zero 0, and bad_site[token] becomes the lower of itself and
// `site`. Padding is left alone. Keys by channel are changed in place, as queries are; they have
// the dtype that the cache keeps values in, and become codes when their block is full. Only
// enqueues. The batch's arrays and RoPE's tables were written before the kernels of this step
// began.
void append(const AppendCall& call, Stream stream);

// Its second kernel, for keys by channel that are rotated already (kv_append_channels.cu).
void append_channels(const AppendCall& call, Stream stream);

}  // namespace quarot::kernels::cuda
