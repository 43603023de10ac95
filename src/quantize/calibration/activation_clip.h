// Which clip ratio of a site's activations changes least what its linears give?
#pragma once

#include <memory>
#include <vector>

#include "kernels/ops.h"

namespace quarot::quantize {

class ActivationClip {
  public:
    // The linears that read the site, prepared for activations of this format. The backend must
    // outlive it.
    ActivationClip(std::vector<std::unique_ptr<kernels::Linear>> linears,
                   const kernels::ActivationFormat& format, kernels::Backend& backend);

    // Adds what each ratio costs on some inputs: ||X W^T - Q(X) W^T||^2 over all linears.
    void add(const kernels::Rows& inputs);
    // The ratio that cost least, of equal ones the largest.
    float best() const;

  private:
    // What linear i gives, on the host.
    std::vector<float> outputs(const kernels::Operand& in, size_t i);

    std::vector<std::unique_ptr<kernels::Linear>> linears_;
    kernels::ActivationFormat format_;
    kernels::Backend& backend_;
    std::vector<double> costs_;  // of kRatios
};

}  // namespace quarot::quantize
