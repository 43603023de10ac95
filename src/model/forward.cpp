#include "model/forward.h"

#include <algorithm>

#include "core/check.h"
#include "model/layer_steps.h"

namespace quarot::model {

using kernels::Backend;
using kernels::Operand;
using kernels::Rows;
using kernels::Site;

void enqueue_step(const Weights& weights, const kernels::BatchView& batch, StepMemory& memory,
                  kernels::KvStore& kv, Backend& backend, comm::Comm& comm) {
    LayerSteps steps(weights, batch, kv, backend, comm, memory);
    Residual residual = {memory.residual.slice(0, batch.n_tokens), {}};
    const Rows attended = memory.attended.slice(0, batch.n_tokens);
    steps.embed(residual);
    const bool parallel = weights.config.parallel;
    for (int64_t layer = 0; layer < weights.config.n_layers; ++layer) {
        // What they read is overwritten by what attention reads, what they give stays.
        if (parallel) steps.gate_and_up(layer, steps.mlp_input(layer, residual));
        const SiteInput attention_in = steps.attention_input(layer, residual);
        steps.attention(layer, attention_in, attended);
        const SiteInput output_in = steps.output_input(layer, attended);
        steps.add_linear(layer, LinearRole::O, output_in, residual);
        if (parallel) {
            steps.settle(residual);
        } else {
            steps.gate_and_up(layer, steps.mlp_input(layer, residual));
        }
        const SiteInput down_in = steps.down_input(layer);
        steps.add_linear(layer, LinearRole::Down, down_in, residual);
    }
    if (batch.n_logit_rows > 0) steps.final_norm(residual);
}

Rows enqueue_logits(const Weights& weights, StepMemory& memory, int64_t first, int64_t n,
                    Backend& backend, comm::Comm& comm) {
    QUAROT_CHECK(n <= memory.logits.rows, "{} rows", n);
    const Rows logits = memory.logits.slice(0, n);
    const bool has_part = weights.lm_head->out_features() < weights.config.vocab;
    const Rows out = has_part ? memory.logit_part.slice(0, n) : logits;
    backend.linear(
        {.in = Operand{memory.hidden.slice(first, n)}, .weight = *weights.lm_head, .out = out});
    if (has_part) comm.gather_columns(out, logits);
    backend.find_non_finite(logits, {kLogitSite, memory.device.bad_logits + first});
    const auto scale = static_cast<float>(weights.config.logit_scale);
    const auto cap = static_cast<float>(weights.config.logit_cap);
    if (scale != 1.0f || cap != 0.0f) {
        backend.scale({.in = logits, .scale = scale, .cap = cap, .out = logits});
    }
    return logits;
}

std::vector<SequenceFailure> finish_step(const Batch& batch, StepMemory& memory) {
    const StepNotes notes = memory.wait();
    std::vector<SequenceFailure> failures;
    for (int64_t s = 0; s < batch.n_sequences(); ++s) {
        const int32_t first = batch.first_token[static_cast<size_t>(s)];
        const int32_t end = batch.first_token[static_cast<size_t>(s) + 1];
        Site lowest = kernels::kNoSite;
        for (int32_t t = first; t < end; ++t) {
            lowest = std::min(lowest, notes.tokens[static_cast<size_t>(t)]);
        }
        for (size_t row = 0; row < batch.logit_rows.size(); ++row) {
            const int32_t token = batch.logit_rows[row];
            if (token >= first && token < end) lowest = std::min(lowest, notes.logits[row]);
        }
        if (lowest != kernels::kNoSite) failures.push_back({s, lowest});
    }
    return failures;
}

}  // namespace quarot::model
