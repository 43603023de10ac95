// A mixer in fp32, applied to one row.
#pragma once

#include <vector>

#include "kernels/cpu/cpu_context.h"
#include "kernels/ops.h"

namespace quarot::kernels::cpu {

class CpuTransform final : public Transform {
  public:
    CpuTransform(const linalg::Mixer& mixer, int64_t inner);

    // Every block of n * inner elements of the row, in place.
    void apply(const IsaKernels& isa, float* row, int64_t cols, Scratch& scratch) const;

  private:
    void apply_block(const IsaKernels& isa, float* block, float* scratch) const;

    bool identity_;
    int64_t order_, sylvester_order_;
    float factor_ = 1.0f;       // 1 / sqrt(n), where no dense factor holds it
    std::vector<float> dense_;  // [order, order], times 1 / sqrt(n)
};

}  // namespace quarot::kernels::cpu
