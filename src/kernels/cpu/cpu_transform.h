// A mixer in fp32, or in fp32 between roundings to fp16, applied to one row.
#pragma once

#include <vector>

#include "kernels/cpu/cpu_context.h"
#include "kernels/ops.h"

namespace quarot::kernels::cpu {

class CpuTransform final : public Transform {
  public:
    // storage: F32 or F16, as Backend::prepare_transform.
    CpuTransform(const linalg::Mixer& mixer, int64_t inner, DType storage);

    // Every block of n * inner elements of the row, in place.
    void apply(const IsaKernels& isa, float* row, int64_t cols, Scratch& scratch) const;

  private:
    void apply_block(const IsaKernels& isa, float* block, float* scratch) const;

    bool identity_, half_;
    int64_t order_, sylvester_order_;
    float factor_ = 1.0f;       // of the Sylvester factor: 1 / sqrt(n), unless dense_ holds it
    std::vector<float> dense_;  // [order, order], in fp32 storage times 1 / sqrt(n)
};

}  // namespace quarot::kernels::cpu
