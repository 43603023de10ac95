// How the KV cache of a model is laid out for CUDA: sizes, and entries read back by the host.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/cuda/kv_view.h"
#include "kernels/ops.h"

namespace quarot::kernels::cuda {

// The layout of `descriptor` over n_pages pages, without memory. Positions at 16 bits are kept as
// `values`: F16, or F32 where activations are fp32.
// Error{Unsupported}: widths outside 2..8 and 16, groups inside a head, exempt positions, scales
// other than F32 or F16, V by channel, K by channel in blocks that do not divide a tile, a clip
// ratio that is not positive, head_dim over 256, a page size that is neither below 64 nor a
// multiple of it. Error{OutOfMemory}: a size that does not fit 63 bits.
KvView make_kv_view(const KvDescriptor& descriptor, int64_t n_pages, DType values);

// Bytes of the whole cache, newest blocks of keys by channel and room for halves included.
int64_t kv_bytes(const KvView& view);

// Position `slot` (of the tile, not of the page) of a tile that was copied to the host.
KvStore::Entry read_entry(const KvView& view, KvKind kind, std::span<const std::byte> tile,
                          int slot);

}  // namespace quarot::kernels::cuda
