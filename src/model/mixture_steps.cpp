#include "model/mixture_steps.h"

#include <array>

namespace quarot::model {

using kernels::Operand;
using kernels::QuantizedRows;
using kernels::Rows;
using kernels::SiteNote;

Operand MixtureSteps::grouped(const Rows& rows, LinearRole role) const {
    Operand out = memory_.operand(rows, weights_.activation_format(role), memory_.expert_codes);
    if (auto* codes = std::get_if<QuantizedRows>(&out.rows)) codes->token_of = routing_.token_of;
    return out;
}

Operand MixtureSteps::input(int64_t layer, const Rows& values, SiteNote router,
                            SiteNote values_note) {
    const Mixture& mixture = weights_.config.mixture;
    routing_ =
        kernels::place_routing(memory_.routing, values.rows, mixture.top_k, mixture.n_experts);
    const Rows logits = memory_.router_logits.slice(0, values.rows);
    backend_.linear({.in = Operand{values},
                     .weight = layer_weights(layer).linear(LinearRole::Router),
                     .out = logits});
    backend_.route({.logits = logits,
                    .renormalize = mixture.renormalize,
                    .routing = routing_,
                    .note = router});
    const kernels::ActivationFormat format = weights_.activation_format(LinearRole::Gate);
    const Rows rows = of_rows(memory_.expert_rows);
    const Operand out = grouped(rows, LinearRole::Gate);
    if (const auto* codes = std::get_if<QuantizedRows>(&out.rows)) {
        const Operand of_tokens = memory_.operand(values, format, memory_.codes);
        const auto& token_codes = std::get<QuantizedRows>(of_tokens.rows);
        backend_.quantize(values, token_codes, values_note);
        backend_.gather_codes(token_codes, routing_.token_of, *codes);
    } else {
        backend_.gather_rows(values, routing_.token_of, rows);
    }
    return out;
}

Operand MixtureSteps::down_input(int64_t layer, const Operand& in, SiteNote note) {
    const LayerWeights& w = layer_weights(layer);
    const Rows gate = of_rows(memory_.expert_gate), up = of_rows(memory_.expert_up);
    backend_.expert_group(
        {.in = in,
         .routing = routing_,
         .weights = std::array{w.experts_of(LinearRole::Gate), w.experts_of(LinearRole::Up)},
         .outs = std::array{gate, up}});
    const Operand out = grouped(gate, LinearRole::Down);
    note.token_of = routing_.token_of;
    backend_.activate_transform_quantize(
        {.activation = weights_.config.activation, .gate = gate, .up = up, .out = gate},
        weights_.expert_ffn.get(), out, note);
    return out;
}

void MixtureSteps::add(int64_t layer, const Operand& down_in, Rows out) {
    const Rows rows = of_rows(memory_.expert_rows);
    backend_.expert_group({.in = down_in,
                           .routing = routing_,
                           .weights = std::array{layer_weights(layer).experts_of(LinearRole::Down)},
                           .outs = std::array{rows}});
    backend_.combine_experts({.rows = rows, .routing = routing_, .out = out});
}

}  // namespace quarot::model
