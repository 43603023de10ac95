// How much a changed weight changes what its linear gives on the calibration text.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "core/thread_pool.h"
#include "kernels/ops.h"
#include "quantize/hessian.h"

namespace quarot::quantize {

// tr(E H E^T) of differences E of a weight, in fp32 on a backend: the mean squared change of the
// outputs, summed over them, where H is the mean of x x^T. Those of rows add up. Used by one
// thread.
class HessianError {
  public:
    // Keeps a copy of the Hessian. Backend and pool must outlive it.
    HessianError(const Hessian& hessian, kernels::Backend& backend, ThreadPool& pool);

    // Of the rows of each block, [rows, n] differences; multiplied together, added up apart.
    std::vector<double> of(std::span<const std::span<const float>> blocks);

  private:
    int64_t n_;
    kernels::Backend& backend_;
    ThreadPool& pool_;
    std::unique_ptr<kernels::Linear> hessian_;
    kernels::Buffer in_, out_;
    std::vector<float> products_;  // of one call; kept, because fresh memory costs as much as them
};

}  // namespace quarot::quantize
