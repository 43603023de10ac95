#include "model/forward.h"

#include <bit>
#include <span>

#include "core/check.h"
#include "core/error.h"

namespace quarot::model {

using kernels::Backend;
using kernels::KvStore;
using kernels::Operand;
using kernels::Rows;

namespace {

// Buffers of ForwardState.
enum Slot : size_t {
    kResidualSlot = ForwardState::kFirstFreeSlot,
    kAttentionSlot,
    kLogitsSlot,
};

bool all_finite(std::span<const float> values) {
    uint32_t bad = 0;
    for (const float value : values) {
        bad |= static_cast<uint32_t>((std::bit_cast<uint32_t>(value) & 0x7f800000u) == 0x7f800000u);
    }
    return bad == 0;
}

}  // namespace

Rows forward(const Weights& weights, const Batch& batch, KvStore& kv, Backend& backend,
             comm::Comm& comm, ForwardState& state) {
    QUAROT_CHECK(batch.n_tokens() > 0);
    QUAROT_CHECK(batch.first_token.back() == batch.n_tokens());
    const kernels::BatchView view = upload_batch(batch, backend, state);
    LayerSteps steps(weights, view, kv, backend, comm, state);
    Residual residual = {
        state.rows(kResidualSlot, view.n_tokens, weights.config.hidden, backend.traits().residual),
        {}};
    const Rows attended = state.rows(kAttentionSlot, view.n_tokens, weights.config.q_dim());
    backend.embed({.table = *weights.embedding, .batch = view, .out = residual.values});
    for (int64_t layer = 0; layer < weights.config.n_layers; ++layer) {
        const SiteInput attention_in = steps.attention_input(layer, residual);
        steps.attention(layer, attention_in, attended);
        const SiteInput output_in = steps.output_input(layer, attended);
        steps.add_linear(layer, LinearRole::O, output_in, residual);
        const SiteInput mlp_in = steps.mlp_input(layer, residual);
        const SiteInput down_in = steps.down_input(layer, mlp_in);
        steps.add_linear(layer, LinearRole::Down, down_in, residual);
    }
    const Rows hidden = steps.final_hidden(residual);
    steps.check_finite();
    return hidden;
}

void compute_logits(const Weights& weights, Rows hidden, Backend& backend, ForwardState& state,
                    float* host_logits) {
    const int64_t vocab = weights.config.vocab;
    const int64_t bytes = hidden.rows * vocab * size_of(DType::F32);
    const Rows logits = {state.reserve(kLogitsSlot, bytes), DType::F32, hidden.rows, vocab, vocab};
    backend.linear({.in = Operand{hidden}, .weight = *weights.lm_head, .out = logits});
    backend.download(host_logits, logits.data, bytes);
    backend.synchronize();
    if (!all_finite({host_logits, static_cast<size_t>(hidden.rows * vocab)})) {
        fail(ErrorCode::Numeric, "{}: NaN or Inf among the logits", weights.name);
    }
}

}  // namespace quarot::model
