// A weight matrix in device memory, and the products that read it.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <variant>

#include "kernels/cuda/cuda_activations.h"
#include "kernels/cuda/dense_product.h"
#include "kernels/cuda/linear_product.h"
#include "kernels/cuda/rows_view.h"
#include "kernels/cuda/stream.h"
#include "kernels/cuda/weight_layout.h"
#include "kernels/hessian_sums.h"
#include "kernels/ops.h"

namespace quarot::kernels::cuda {

// Dense matrices on the device, one copy of each host tensor: a tied head reads the embedding's.
//
// Where activations are halves, bf16 matrices become halves too, so that both operands of a product
// have one dtype: exact from 2^-14 on, below within 2^-25. fp32 matrices stay as they are.
class DenseMatrices {
  public:
    explicit DenseMatrices(DType work) : work_(work) {}

    // Error{Unsupported}: a value beyond the range of halves.
    std::shared_ptr<const Buffer> upload(const std::shared_ptr<const Tensor>& tensor,
                                         Stream stream);
    DType device_dtype(DType stored) const;

  private:
    DType work_;
    // Expired where the tensor is gone, whose address another one may have then.
    struct Known {
        std::weak_ptr<const Tensor> tensor;
        std::weak_ptr<const Buffer> memory;
    };
    std::map<const Tensor*, Known> known_;
};

// Of a quantized CudaLinear: codes, and a scale, zero point and sum of every group, all padded.
int64_t codes_bytes(const CodesForm& form);

class CudaLinear final : public Linear {
  public:
    CudaLinear(LinearWeights weights, DenseMatrices& matrices, Stream stream);
    // The Hessian in fp32. Waits.
    CudaLinear(const HessianSums& hessian, Stream stream);

    // The fp32 expression of LinearArgs by the fastest kernel for the operand and the shape.
    // `dense`, which may be null unless wants_dense_multiplier(), multiplies two matrices of one
    // dtype.
    void multiply(const LinearArgs& args, DenseMultiplier* dense, Stream stream) const;
    bool wants_dense_multiplier() const;
    bool is_quantized() const;
    // Of a quantized matrix.
    const WeightView& codes() const { return std::get<Quantized>(weight_).view; }
    // Of a quantized matrix and quantized rows.
    LinearProduct integer_product(const LinearArgs& args) const;

  private:
    struct Dense {
        std::shared_ptr<const Buffer> memory;
        RowsView rows;  // [out, in]
    };
    struct Quantized {
        Buffer memory;
        WeightView view;
    };
    void multiply_dense(const Dense& weight, const RowsView& in, const LinearArgs& args,
                        DenseMultiplier* dense, Stream stream) const;

    std::variant<Dense, Quantized> weight_;
    Buffer bias_;            // fp32 [out], empty without
    Buffer bias16_;          // halves [out], for 16-bit results of dense products
    bool any_rows_ = false;  // LinearWeights::batch_invariant
};

}  // namespace quarot::kernels::cuda
