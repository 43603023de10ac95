// Tables of the cuda backend whose rows are read by token or by position.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>

#include "core/check.h"
#include "kernels/cuda/cuda_linear.h"
#include "kernels/cuda/elementwise.h"
#include "kernels/cuda/rows_view.h"
#include "kernels/cuda/stream.h"
#include "kernels/ops.h"

namespace quarot::kernels::cuda {

class CudaEmbedding : public Embedding {
  public:
    virtual void read(const int32_t* ids, const RowsView& out, Stream stream) const = 0;
    virtual RowsView dense_table() const {  // of positions, which are dense
        QUAROT_CHECK(false, "a dense table");
        return {};
    }
};

class DenseEmbedding final : public CudaEmbedding {
  public:
    DenseEmbedding(std::shared_ptr<const Buffer> memory, RowsView table)
        : memory_(std::move(memory)), table_(table) {}
    void read(const int32_t* ids, const RowsView& out, Stream stream) const override {
        embed(table_, ids, out, stream);
    }
    RowsView dense_table() const override { return table_; }

  private:
    std::shared_ptr<const Buffer> memory_;
    RowsView table_;
};

// Reads the codes of a linear: its own, or a tied head's.
class CodeEmbedding final : public CudaEmbedding {
  public:
    explicit CodeEmbedding(const CudaLinear& tied) : matrix_(tied) {}
    explicit CodeEmbedding(std::unique_ptr<CudaLinear> own)
        : own_(std::move(own)), matrix_(*own_) {}
    void read(const int32_t* ids, const RowsView& out, Stream stream) const override {
        embed(matrix_.codes(), ids, out, stream);
    }

  private:
    std::unique_ptr<CudaLinear> own_;
    const CudaLinear& matrix_;
};

}  // namespace quarot::kernels::cuda
