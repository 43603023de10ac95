// Linear layers with both sides quantized: what is multiplied, and which kernel does it.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/cuda/activation_layout.h"
#include "kernels/cuda/device_info.h"
#include "kernels/cuda/stream.h"
#include "kernels/cuda/weight_layout.h"
#include "tensor/dtype.h"

namespace quarot::kernels::cuda {

// out = in W^T + bias (+ out), by the expression of kernels::LinearArgs: exact integer sums, then
// fp32 in its order, rounded once to the dtype of out. All pointers are device memory. Tokens in
// multiples v are multiplied by those: in every segment of 512 columns, over the groups of the
// weights or every 128 columns of whole rows, in order, and then over the segments, in order,
//
//   s = fma(float(sum (w - zero) v), scale, s),   y += s,   out = y * unit + bias (+ out)
//
// so that several warps may share a row.
struct LinearProduct {
    ActivationView in;
    WeightView weight;
    const float* bias = nullptr;   // [weight.shape.rows] or null
    void* out = nullptr;           // [in.rows, out_stride]
    DType out_dtype = DType::F32;  // F32, F16 or BF16
    int64_t out_stride = 0;        // elements
    bool accumulate = false;       // out += instead of out =
};

// StreamedFew to TileN take rows of one group, General takes everything.
//   StreamedFew: up to 8 tokens of at most 8 KB of codes, kept beside a ring of weights alone
//   Streamed: up to 16 tokens; reads each weight once, at the speed of memory
//   TileN:    compute capability 9.0; tiles of 128 rows x N tokens on the tensor cores of
//             warpgroups. Split: two CTAs share a tile's columns, for matrices of few tiles
//   StreamedGroups: up to 16 tokens, 4-bit weights, groups of 32, 64 or 128 on either side
//   TileGroups: the same for more tokens, without integer offsets
//   StreamedMultiples: up to 16 tokens in multiples; weights to 4 bits in groups of 32, 64 or 128
//   or
//             whole rows
//   TileMultiples: the same for more tokens
//   WarpgroupMultiples: the same as TileMultiples on compute capability 9.0
//   Groups128: compute capability 9.0; groups of 128 on both sides, symmetric, weights to 4 bits
enum class LinearKernel {
    StreamedFew,
    Streamed,
    Tile32,
    Tile32Split,
    Tile64,
    Tile64Split,
    Tile128,
    Tile128Split,
    Tile256,
    StreamedGroups,
    Groups128,
    TileGroups,
    StreamedMultiples,
    TileMultiples,
    WarpgroupMultiples,
    General
};

std::span<const LinearKernel> all_linear_kernels();
const char* name_of(LinearKernel kernel);
bool can_run(LinearKernel kernel, const LinearProduct& product, const DeviceInfo& device);

// The fastest that can_run, by shape alone, so that a sequence's bits never depend on what else is
// in its batch: all kernels of a product's form give the same bits.
LinearKernel choose_kernel(const LinearProduct& product, const DeviceInfo& device);

// Only enqueues. The kernel must be one that can_run.
void multiply(const LinearProduct& product, LinearKernel kernel, Stream stream);
// Products that share their input: in one launch where a kernel does that, else one by one.
void multiply(std::span<const LinearProduct> products, Stream stream);

}  // namespace quarot::kernels::cuda
