#include "model/forward.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <span>

#include "core/error.h"

namespace quarot::model {

using kernels::Backend;
using kernels::BatchView;
using kernels::KvStore;
using kernels::Operand;
using kernels::QuantizedRows;
using kernels::Rows;
using kernels::Site;

namespace {

// Buffers of ForwardState.
enum Slot : size_t {
    kBatchSlot,
    kResidualSlot,
    kNormedSlot,
    kQuerySlot,
    kKeySlot,
    kValueSlot,
    kAttentionSlot,
    kGateSlot,
    kUpSlot,
    kCodesSlot,
    kHiddenSlot,
    kLogitsSlot,
};

// Places of one layer at which values are quantized, for error messages.
enum Place : Site { kAttentionInput, kKvAppend, kOutputInput, kMlpInput, kDownInput, kPlaces };
constexpr std::array<const char*, kPlaces> kPlaceNames = {
    "the input of q, k and v", "the K and V written to the cache", "the input of o_proj",
    "the input of gate and up", "the input of down_proj"};

Site site_of(int64_t layer, Place place) {
    return static_cast<Site>(layer * kPlaces + place);
}

// The batch's arrays one behind the other in backend memory.
BatchView upload_batch(const Batch& batch, Backend& backend, ForwardState& state) {
    const std::array<const std::vector<int32_t>*, 7> arrays = {&batch.token_ids,
                                                               &batch.positions,
                                                               &batch.first_token,
                                                               &batch.context_lengths,
                                                               &batch.page_tables,
                                                               &batch.logit_rows,
                                                               nullptr};
    std::vector<int32_t> sequence_of_token(batch.token_ids.size());
    for (size_t s = 0; s + 1 < batch.first_token.size(); ++s) {
        std::fill(sequence_of_token.begin() + batch.first_token[s],
                  sequence_of_token.begin() + batch.first_token[s + 1], static_cast<int32_t>(s));
    }
    std::vector<int32_t> packed;
    std::array<size_t, arrays.size()> at{};
    for (size_t i = 0; i < arrays.size(); ++i) {
        const auto& array = arrays[i] != nullptr ? *arrays[i] : sequence_of_token;
        at[i] = packed.size();
        packed.insert(packed.end(), array.begin(), array.end());
    }
    const auto bytes = static_cast<int64_t>(packed.size() * sizeof(int32_t));
    auto* base = static_cast<int32_t*>(state.reserve(kBatchSlot, bytes));
    backend.upload(base, packed.data(), bytes);
    BatchView view;
    view.n_tokens = batch.n_tokens();
    view.token_ids = base + at[0];
    view.positions = base + at[1];
    view.first_token = base + at[2];
    view.context_lengths = base + at[3];
    view.page_tables = base + at[4];
    view.logit_rows = base + at[5];
    view.sequence_of_token = base + at[6];
    view.n_sequences = batch.n_sequences();
    view.max_pages = batch.max_pages;
    view.n_logit_rows = static_cast<int64_t>(batch.logit_rows.size());
    return view;
}

// One pass over the network; holds what every layer needs.
class Step {
  public:
    Step(const Weights& weights, const Batch& batch, KvStore& kv, Backend& backend,
         comm::Comm& comm, ForwardState& state)
        : weights_(weights),
          config_(weights.config),
          kv_(kv),
          backend_(backend),
          comm_(comm),
          state_(state),
          batch_(upload_batch(batch, backend, state)),
          residual_(rows(kResidualSlot, batch_.n_tokens, config_.hidden)),
          normed_(rows(kNormedSlot, batch_.n_tokens, config_.hidden)) {}

    Rows run() {
        backend_.embed({.table = *weights_.embedding, .batch = batch_, .out = residual_});
        for (int64_t layer = 0; layer < config_.n_layers; ++layer) {
            attention_block(layer);
            mlp_block(layer);
        }
        const Rows hidden = rows(kHiddenSlot, batch_.n_logit_rows, config_.hidden);
        backend_.gather_rows(residual_, batch_.logit_rows, hidden);
        backend_.rms_norm(norm_args(hidden, weights_.final_norm, hidden));
        check_finite();
        return hidden;
    }

  private:
    // x += o_proj(attention(norm(x)))
    void attention_block(int64_t layer) {
        const LayerWeights& w = weights_.layers[static_cast<size_t>(layer)];
        const int64_t n = batch_.n_tokens;
        const Rows q = rows(kQuerySlot, n, config_.q_dim());
        const Rows k = rows(kKeySlot, n, config_.kv_dim());
        const Rows v = rows(kValueSlot, n, config_.kv_dim());
        const Rows mixed = rows(kAttentionSlot, n, config_.q_dim());

        const Operand in = operand(normed_, LinearRole::Q);
        backend_.rms_norm_quantize(norm_args(residual_, w.attention_norm, normed_), in,
                                   site_of(layer, kAttentionInput));
        const std::array<const kernels::Linear*, 3> qkv = {
            &w.linear(LinearRole::Q), &w.linear(LinearRole::K), &w.linear(LinearRole::V)};
        const std::array<Rows, 3> outs = {q, k, v};
        backend_.linear_group({.in = in, .weights = qkv, .outs = outs});
        backend_.rope_transform_append_kv({
            .rope = {.q = q,
                     .k = k,
                     .head_dim = config_.head_dim,
                     .table = weights_.rope_table(),
                     .batch = batch_},
            .transform = weights_.query_key.get(),
            .append = {.k = k,
                       .v = v,
                       .layer = layer,
                       .batch = batch_,
                       .kv = kv_,
                       .site = site_of(layer, kKvAppend)},
        });
        backend_.attention({.q = q,
                            .n_heads = config_.n_heads,
                            .layer = layer,
                            .scale = 1.0f / std::sqrt(static_cast<float>(config_.head_dim)),
                            .batch = batch_,
                            .kv = kv_,
                            .out = mixed});
        const Operand o_in = operand(mixed, LinearRole::O);
        backend_.transform_quantize(weights_.head_mix.get(), mixed, o_in,
                                    site_of(layer, kOutputInput));
        add_to_residual(o_in, w.linear(LinearRole::O));
    }

    // x += down_proj(silu(gate(norm(x))) * up(norm(x)))
    void mlp_block(int64_t layer) {
        const LayerWeights& w = weights_.layers[static_cast<size_t>(layer)];
        const Rows gate = rows(kGateSlot, batch_.n_tokens, config_.ffn);
        const Rows up = rows(kUpSlot, batch_.n_tokens, config_.ffn);

        const Operand in = operand(normed_, LinearRole::Gate);
        backend_.rms_norm_quantize(norm_args(residual_, w.mlp_norm, normed_), in,
                                   site_of(layer, kMlpInput));
        backend_.gated_linear({.in = in,
                               .gate = w.linear(LinearRole::Gate),
                               .up = w.linear(LinearRole::Up),
                               .gate_out = gate,
                               .up_out = up});
        const Operand down_in = operand(gate, LinearRole::Down);
        backend_.transform_quantize(weights_.ffn.get(), gate, down_in, site_of(layer, kDownInput));
        add_to_residual(down_in, w.linear(LinearRole::Down));
    }

    // Every rank holds part of the sum; rank 0's part also holds the residual itself.
    void add_to_residual(const Operand& in, const kernels::Linear& weight) {
        backend_.linear(
            {.in = in, .weight = weight, .out = residual_, .accumulate = comm_.rank() == 0});
        comm_.all_reduce(residual_);
    }

    kernels::RmsNormArgs norm_args(Rows in, const Gain& gain, Rows out) const {
        return {
            .in = in, .gain = gain.data(), .eps = static_cast<float>(config_.rms_eps), .out = out};
    }

    // What the linear of `role` reads: `values` itself, or room for its quantized form.
    Operand operand(Rows values, LinearRole role) {
        const kernels::ActivationFormat format = weights_.activation_format(role);
        if (format.bits == 16) return {values};
        void* memory =
            state_.reserve(kCodesSlot, backend_.quantized_bytes(values.rows, values.cols, format));
        return {backend_.place_quantized(memory, values.rows, values.cols, format)};
    }

    Rows rows(Slot slot, int64_t n, int64_t cols) {
        const DType dtype = backend_.activation_dtype();
        const int64_t stride = round_up(cols, 16);
        return {state_.reserve(slot, n * stride * size_of(dtype)), dtype, n, cols, stride};
    }

    void check_finite() {
        const auto site = backend_.take_non_finite_site();
        if (!site) return;
        fail(ErrorCode::Numeric, "{}: NaN or Inf in layer {} at {}", weights_.name, *site / kPlaces,
             kPlaceNames[static_cast<size_t>(*site % kPlaces)]);
    }

    const Weights& weights_;
    const ModelConfig& config_;
    KvStore& kv_;
    Backend& backend_;
    comm::Comm& comm_;
    ForwardState& state_;
    const BatchView batch_;
    const Rows residual_;
    const Rows normed_;
};

bool all_finite(std::span<const float> values) {
    uint32_t bad = 0;
    for (const float value : values) {
        bad |= static_cast<uint32_t>((std::bit_cast<uint32_t>(value) & 0x7f800000u) == 0x7f800000u);
    }
    return bad == 0;
}

}  // namespace

void* ForwardState::reserve(size_t slot, int64_t bytes) {
    if (slot >= buffers_.size()) buffers_.resize(slot + 1);
    if (buffers_[slot].bytes() < bytes) {
        buffers_[slot] = {};
        buffers_[slot] = backend_.allocate(bytes);
    }
    return buffers_[slot].data();
}

Rows forward(const Weights& weights, const Batch& batch, KvStore& kv, Backend& backend,
             comm::Comm& comm, ForwardState& state) {
    QUAROT_CHECK(batch.n_tokens() > 0);
    QUAROT_CHECK(batch.first_token.back() == batch.n_tokens());
    return Step(weights, batch, kv, backend, comm, state).run();
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
