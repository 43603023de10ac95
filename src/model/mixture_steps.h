// Mixtures of experts: how a layer that has one in the place of its MLP runs it. All other layers
// go by this file.
#pragma once

#include "kernels/ops.h"
#include "model/step_memory.h"
#include "model/weights.h"

namespace quarot::model {

// The three calls of a layer follow each other; operands stand in the step's memory until the next.
// Everything is only enqueued.
class MixtureSteps {
  public:
    MixtureSteps(const Weights& weights, kernels::Backend& backend, StepMemory& memory)
        : weights_(weights), backend_(backend), memory_(memory) {}

    bool at(int64_t layer) const { return weights_.config.layer(layer).mixture; }
    // Routes tokens by their normalised `values` [n_tokens, hidden], which the router reads
    // unquantized. What gate and up read: a row for each token and expert of it, grouped by
    // expert, quantized if the recipe says so. router, values_note: of tokens.
    kernels::Operand input(int64_t layer, const kernels::Rows& values, kernels::SiteNote router,
                           kernels::SiteNote values_note);
    // What down_proj reads: R4 of f(gate(in)) * up(in), grouped; f is the activation. note: of
    // tokens.
    kernels::Operand down_input(int64_t layer, const kernels::Operand& in, kernels::SiteNote note);
    // out [n_tokens, hidden] = the weighted sum of what the experts of a token give.
    void add(int64_t layer, const kernels::Operand& down_in, kernels::Rows out);

  private:
    const LayerWeights& layer_weights(int64_t layer) const {
        return weights_.layers[static_cast<size_t>(layer)];
    }
    // As many rows of a room as tokens have experts.
    kernels::Rows of_rows(const kernels::Rows& room) const {
        return room.slice(0, routing_.n_rows());
    }
    // Those rows as a linear reads them, each at the position of its token.
    kernels::Operand grouped(const kernels::Rows& rows, LinearRole role) const;

    const Weights& weights_;
    kernels::Backend& backend_;
    StepMemory& memory_;
    kernels::Routing routing_;  // of the layer at hand
};

}  // namespace quarot::model
