// One decoder layer in parts, each from one place where linears read to the next.
#include "model/layer_steps.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "core/error.h"

namespace quarot::model {

using kernels::Backend;
using kernels::BatchView;
using kernels::KvStore;
using kernels::Operand;
using kernels::Rows;
using kernels::Site;

namespace {

// Buffers of ForwardState.
enum Slot : size_t {
    kBatchSlot,
    kNormedSlot,
    kQuerySlot,
    kKeySlot,
    kValueSlot,
    kGateSlot,
    kUpSlot,
    kCodesSlot,
};
static_assert(kCodesSlot < ForwardState::kFirstFreeSlot);

// Places of one layer at which values are quantized, for error messages.
enum Place : Site { kAttentionInput, kKvAppend, kOutputInput, kMlpInput, kDownInput, kPlaces };
constexpr std::array<const char*, kPlaces> kPlaceNames = {
    "the input of q, k and v", "the K and V written to the cache", "the input of o_proj",
    "the input of gate and up", "the input of down_proj"};

Site site_of(int64_t layer, Place place) {
    return static_cast<Site>(layer * kPlaces + place);
}

}  // namespace

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

void* ForwardState::reserve(size_t slot, int64_t bytes) {
    if (slot >= buffers_.size()) buffers_.resize(slot + 1);
    if (buffers_[slot].bytes() < bytes) {
        buffers_[slot] = {};
        buffers_[slot] = backend_.allocate(bytes);
    }
    return buffers_[slot].data();
}

Rows ForwardState::rows(size_t slot, int64_t n, int64_t cols) {
    const DType dtype = backend_.activation_dtype();
    const int64_t stride = round_up(cols, 16);
    return {reserve(slot, n * stride * size_of(dtype)), dtype, n, cols, stride};
}

kernels::RmsNormArgs norm_args(const Weights& weights, Rows in, const Gain& gain, Rows out) {
    return {.in = in,
            .gain = gain.data(),
            .eps = static_cast<float>(weights.config.rms_eps),
            .out = out};
}

Operand LayerSteps::attention_input(int64_t layer, Rows residual) {
    return norm(residual, weights_.layers[static_cast<size_t>(layer)].attention_norm, LinearRole::Q,
                site_of(layer, kAttentionInput));
}

void LayerSteps::attention(int64_t layer, const Operand& in, Rows out) {
    const ModelConfig& config = weights_.config;
    const LayerWeights& w = weights_.layers[static_cast<size_t>(layer)];
    const Rows q = state_.rows(kQuerySlot, out.rows, config.q_dim());
    const Rows k = state_.rows(kKeySlot, out.rows, config.kv_dim());
    const Rows v = state_.rows(kValueSlot, out.rows, config.kv_dim());
    const std::array<const kernels::Linear*, 3> qkv = {
        &w.linear(LinearRole::Q), &w.linear(LinearRole::K), &w.linear(LinearRole::V)};
    const std::array<Rows, 3> outs = {q, k, v};
    backend_.linear_group({.in = in, .weights = qkv, .outs = outs});
    backend_.rope_transform_append_kv({
        .rope = {.q = q,
                 .k = k,
                 .head_dim = config.head_dim,
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
                        .n_heads = config.n_heads,
                        .layer = layer,
                        .scale = 1.0f / std::sqrt(static_cast<float>(config.head_dim)),
                        .batch = batch_,
                        .kv = kv_,
                        .out = out});
}

Operand LayerSteps::output_input(int64_t layer, Rows attended) {
    const Operand in = operand(attended, LinearRole::O);
    backend_.transform_quantize(weights_.head_mix.get(), attended, in,
                                site_of(layer, kOutputInput));
    return in;
}

Operand LayerSteps::mlp_input(int64_t layer, Rows residual) {
    return norm(residual, weights_.layers[static_cast<size_t>(layer)].mlp_norm, LinearRole::Gate,
                site_of(layer, kMlpInput));
}

Operand LayerSteps::down_input(int64_t layer, const Operand& in) {
    const LayerWeights& w = weights_.layers[static_cast<size_t>(layer)];
    const Rows gate = state_.rows(kGateSlot, in.n_rows(), weights_.config.ffn);
    const Rows up = state_.rows(kUpSlot, in.n_rows(), weights_.config.ffn);
    backend_.gated_linear({.in = in,
                           .gate = w.linear(LinearRole::Gate),
                           .up = w.linear(LinearRole::Up),
                           .gate_out = gate,
                           .up_out = up});
    const Operand down = operand(gate, LinearRole::Down);
    backend_.transform_quantize(weights_.ffn.get(), gate, down, site_of(layer, kDownInput));
    return down;
}

void LayerSteps::add_linear(int64_t layer, LinearRole role, const Operand& in, Rows residual) {
    const kernels::Linear& weight = weights_.layers[static_cast<size_t>(layer)].linear(role);
    // Every rank holds part of the sum; rank 0's part also holds the residual itself.
    backend_.linear({.in = in, .weight = weight, .out = residual, .accumulate = comm_.rank() == 0});
    comm_.all_reduce(residual);
}

void LayerSteps::check_finite(int64_t first_layer) {
    const auto site = backend_.take_non_finite_site();
    if (!site) return;
    fail(ErrorCode::Numeric, "{}: NaN or Inf in layer {} at {}", weights_.name,
         first_layer + *site / kPlaces, kPlaceNames[static_cast<size_t>(*site % kPlaces)]);
}

Operand LayerSteps::norm(Rows residual, const Gain& gain, LinearRole role, Site site) {
    const Rows normed = state_.rows(kNormedSlot, residual.rows, residual.cols);
    const Operand in = operand(normed, role);
    backend_.rms_norm_quantize(norm_args(weights_, residual, gain, normed), in, site);
    return in;
}

Operand LayerSteps::operand(Rows values, LinearRole role) {
    const kernels::ActivationFormat format = weights_.activation_format(role);
    if (format.bits == 16) return {values};
    void* memory =
        state_.reserve(kCodesSlot, backend_.quantized_bytes(values.rows, values.cols, format));
    return {backend_.place_quantized(memory, values.rows, values.cols, format)};
}

}  // namespace quarot::model
