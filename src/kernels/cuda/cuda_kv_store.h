// The pages of a KV cache in device memory.
#pragma once

#include "kernels/cuda/kv_layout.h"
#include "kernels/cuda/stream.h"
#include "kernels/ops.h"

namespace quarot::kernels::cuda {

class CudaKvStore final : public KvStore {
  public:
    // values: dtype of positions that are not quantized, F16 or F32. Errors as make_kv_view's and
    // allocate_device's.
    CudaKvStore(const KvDescriptor& descriptor, int64_t n_pages, DType values, Stream stream);

    int64_t bytes() const override { return memory_.bytes(); }
    // Waits for the stream.
    Entry read(KvKind kind, int64_t layer, int64_t page, int64_t slot, int64_t head) const override;

    const KvView& view() const { return view_; }

  private:
    KvView view_;
    Buffer memory_;
    Stream stream_;
};

}  // namespace quarot::kernels::cuda
