// Columns kept apart (QUIK, Atom): how the linears of such a site read it, each as a main linear
// and one of the columns apart. Sites of all other recipes go by this file.
#pragma once

#include <optional>
#include <span>

#include "kernels/ops.h"
#include "model/step_memory.h"
#include "model/weights.h"

namespace quarot::model {

// What the linears of a site read: all columns, or of a recipe that keeps some apart two parts.
struct SiteInput {
    kernels::Operand main;
    std::optional<kernels::Operand> outliers;
};

// Everything is only enqueued, into the step's memory.
class SplitInputs {
  public:
    SplitInputs(const Weights& weights, kernels::Backend& backend, StepMemory& memory)
        : weights_(weights), backend_(backend), memory_(memory) {}

    // Does the site keep columns apart in this layer?
    bool at(int64_t layer, InputSite site) const;
    // Both parts of `values` [n_tokens, n], quantized as the recipe says; valid until the next
    // call. Only where at().
    SiteInput read(int64_t layer, InputSite site, const kernels::Rows& values,
                   kernels::SiteNote note);
    // outs, one a role of the site, += what the columns apart give; nothing if `in` has none.
    void add(int64_t layer, InputSite site, const SiteInput& in,
             std::span<const kernels::Rows> outs);

  private:
    const LayerWeights& layer_weights(int64_t layer) const {
        return weights_.layers[static_cast<size_t>(layer)];
    }

    const Weights& weights_;
    kernels::Backend& backend_;
    StepMemory& memory_;
};

}  // namespace quarot::model
