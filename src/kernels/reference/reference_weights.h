// How the reference backend holds a weight matrix: the stored floats, or q - zero as int16.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "core/check.h"
#include "kernels/ops.h"

namespace quarot::kernels {

// Weights as the products see them: fp32 values on request.
class ReferenceLinear : public Linear {
  public:
    ReferenceLinear(int64_t out, int64_t in, int bits, std::vector<float> bias)
        : Linear(out, in, bits), bias_(std::move(bias)) {
        QUAROT_CHECK(bias_.empty() || std::ssize(bias_) == out, "{} biases", bias_.size());
    }
    virtual void values(int64_t row, std::span<float> out) const = 0;  // [in]
    float bias(int64_t row) const { return bias_.empty() ? 0.0f : bias_[static_cast<size_t>(row)]; }

  private:
    std::vector<float> bias_;
};

class DenseLinear final : public ReferenceLinear {
  public:
    DenseLinear(std::shared_ptr<const Tensor> matrix, std::vector<float> bias)
        : ReferenceLinear(matrix->rows(), matrix->cols(), 16, std::move(bias)),
          matrix_(std::move(matrix)) {}
    void values(int64_t row, std::span<float> out) const override;

  private:
    std::shared_ptr<const Tensor> matrix_;
};

// Keeps q - zero as int16, ready to be multiplied.
class IntegerLinear final : public ReferenceLinear {
  public:
    IntegerLinear(const QuantizedMatrix& matrix, std::vector<float> bias);
    const int16_t* integers(int64_t row) const {
        return reinterpret_cast<const int16_t*>(integers_.data()) + row * in_features();
    }
    float scale(int64_t row, int64_t group) const {
        return scales_[static_cast<size_t>(row * (in_features() / group_size_) + group)];
    }
    int64_t group_size() const { return group_size_; }
    void values(int64_t row, std::span<float> out) const override;

  private:
    int64_t group_size_;
    Storage integers_;           // int16 [out, in]
    std::vector<float> scales_;  // [out, in / group_size]
};

// Error{Unsupported} for a dense matrix that is not F32, F16 or BF16.
std::unique_ptr<Linear> prepare_reference_linear(LinearWeights weights);

}  // namespace quarot::kernels
