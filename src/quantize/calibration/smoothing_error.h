// How far quantizing after smoothing moves the outputs of a linear.
#pragma once

#include <span>
#include <vector>

#include "core/thread_pool.h"
#include "kernels/ops.h"
#include "model/roles.h"
#include "recipe/recipe.h"

namespace quarot::quantize {

// maxima[j] becomes at least |weight[i][j]| for every i.
void raise_weight_maxima(const Tensor& weight, std::vector<float>& maxima);

class SmoothingError {
  public:
    // Keeps a copy of the inputs; the backend must outlive it.
    SmoothingError(const kernels::Rows& inputs, kernels::Backend& backend);

    // ||X W^T - Q(X / s) Q(s W)^T||^2 / ||X W^T||^2 with the recipe's widths for `role`; 0 if the
    // outputs are.
    double of(const Tensor& weight, std::span<const double> scales, const Recipe& recipe,
              model::LinearRole role, ThreadPool& pool);

  private:
    std::vector<float> outputs(const kernels::Operand& in, kernels::LinearWeights weights);

    kernels::Backend& backend_;
    int64_t n_rows_, n_cols_;
    std::vector<float> values_;  // [n_rows, n_cols]
};

}  // namespace quarot::quantize
