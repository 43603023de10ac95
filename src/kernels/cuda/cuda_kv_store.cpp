#include "kernels/cuda/cuda_kv_store.h"

#include <cuda_runtime_api.h>

#include "core/check.h"
#include "kernels/cuda/cuda_memory.h"
#include "kernels/cuda/status.h"

namespace quarot::kernels::cuda {

CudaKvStore::CudaKvStore(const KvDescriptor& descriptor, int64_t n_pages, DType values,
                         Stream stream)
    : KvStore(descriptor, n_pages),
      view_(make_kv_view(descriptor, n_pages, values)),
      memory_(allocate_device(kv_bytes(view_))),
      stream_(stream) {
    view_.memory = static_cast<std::byte*>(memory_.data());
}

KvStore::Entry CudaKvStore::read(KvKind kind, int64_t layer, int64_t page, int64_t slot,
                                 int64_t head) const {
    const KvDescriptor& d = descriptor();
    QUAROT_CHECK(layer >= 0 && layer < d.n_layers && page >= 0 && page < n_pages() && slot >= 0 &&
                 slot < d.page_tokens && head >= 0 && head < d.n_kv_heads);
    std::vector<std::byte> tile(static_cast<size_t>(view_.tile_bytes));
    check(cudaMemcpyAsync(tile.data(), view_.memory + view_.tile_at(layer, page, head, slot),
                          tile.size(), cudaMemcpyDeviceToHost, stream_),
          "cudaMemcpyAsync");
    check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize");
    return read_entry(view_, kind, tile, static_cast<int>(slot % view_.tile_tokens));
}

}  // namespace quarot::kernels::cuda
