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
using kernels::SiteNote;

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
    kMainSlot,
    kOutlierSlot,
    kOutlierCodesSlot,
    kPartialSlot,
    kHiddenSlot,
    kHiddenPartialSlot,
};
static_assert(kHiddenPartialSlot < ForwardState::kFirstFreeSlot);

// Places of one layer at which values are quantized, for error messages.
enum Place : Site { kAttentionInput, kKvAppend, kOutputInput, kMlpInput, kDownInput, kPlaces };
constexpr std::array<const char*, kPlaces> kPlaceNames = {
    "the input of q, k and v", "the K and V written to the cache", "the input of o_proj",
    "the input of gate and up", "the input of down_proj"};

Site site_of(int64_t layer, Place place) {
    return static_cast<Site>(layer * kPlaces + place);
}

Place place_of(InputSite site) {
    constexpr std::array<Place, 4> kPlaceOfSite = {kAttentionInput, kOutputInput, kMlpInput,
                                                   kDownInput};
    return kPlaceOfSite[static_cast<size_t>(site)];
}

}  // namespace

// The batch's arrays one behind the other in backend memory.
BatchView upload_batch(const Batch& batch, Backend& backend, ForwardState& state) {
    std::vector<int32_t> sequence_of_token(batch.token_ids.size());
    const std::vector<int32_t> bad_sites(batch.token_ids.size(), kernels::kNoSite);
    const std::array<const std::vector<int32_t>*, 9> arrays = {
        &batch.token_ids,       &batch.positions,   &batch.first_token,
        &batch.context_lengths, &batch.pages,       &batch.first_page,
        &batch.logit_rows,      &sequence_of_token, &bad_sites};
    for (size_t s = 0; s + 1 < batch.first_token.size(); ++s) {
        std::fill(sequence_of_token.begin() + batch.first_token[s],
                  sequence_of_token.begin() + batch.first_token[s + 1], static_cast<int32_t>(s));
    }
    std::vector<int32_t> packed;
    std::array<size_t, arrays.size()> at{};
    for (size_t i = 0; i < arrays.size(); ++i) {
        at[i] = packed.size();
        packed.insert(packed.end(), arrays[i]->begin(), arrays[i]->end());
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
    view.pages = base + at[4];
    view.first_page = base + at[5];
    view.logit_rows = base + at[6];
    view.sequence_of_token = base + at[7];
    view.bad_sites = base + at[8];
    view.n_sequences = batch.n_sequences();
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

Rows ForwardState::rows(size_t slot, int64_t n, int64_t cols, DType dtype) {
    const int64_t stride = round_up(cols, 16);
    return {reserve(slot, n * stride * size_of(dtype)), dtype, n, cols, stride};
}

const LayerWeights& LayerSteps::layer_weights(int64_t layer) const {
    return weights_.layers[static_cast<size_t>(layer)];
}

SiteInput LayerSteps::attention_input(int64_t layer, Residual& residual) {
    const LayerWeights& w = layer_weights(layer);
    return norm(w.split(InputSite::Attention), residual, w.attention_norm, LinearRole::Q,
                note_at(site_of(layer, kAttentionInput)));
}

void LayerSteps::attention(int64_t layer, const SiteInput& in, Rows out) {
    const ModelConfig& config = weights_.config;
    const LayerWeights& w = layer_weights(layer);
    const Rows q = state_.rows(kQuerySlot, out.rows, config.q_dim());
    const Rows k = state_.rows(kKeySlot, out.rows, config.kv_dim());
    const Rows v = state_.rows(kValueSlot, out.rows, config.kv_dim());
    const std::array<const kernels::Linear*, 3> qkv = {
        &w.linear(LinearRole::Q), &w.linear(LinearRole::K), &w.linear(LinearRole::V)};
    const std::array<Rows, 3> outs = {q, k, v};
    backend_.linear_group({.in = in.main, .weights = qkv, .outs = outs});
    add_outliers(layer, LinearRole::Q, in, q);
    add_outliers(layer, LinearRole::K, in, k);
    add_outliers(layer, LinearRole::V, in, v);
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
                   .note = note_at(site_of(layer, kKvAppend))},
    });
    backend_.attention({.q = q,
                        .n_heads = config.n_heads,
                        .layer = layer,
                        .scale = 1.0f / std::sqrt(static_cast<float>(config.head_dim)),
                        .batch = batch_,
                        .kv = kv_,
                        .out = out});
}

SiteInput LayerSteps::output_input(int64_t layer, Rows attended) {
    return transformed(layer_weights(layer).split(InputSite::Output), weights_.head_mix.get(),
                       attended, LinearRole::O, note_at(site_of(layer, kOutputInput)));
}

SiteInput LayerSteps::mlp_input(int64_t layer, Residual& residual) {
    const LayerWeights& w = layer_weights(layer);
    return norm(w.split(InputSite::Mlp), residual, w.mlp_norm, LinearRole::Gate,
                note_at(site_of(layer, kMlpInput)));
}

SiteInput LayerSteps::down_input(int64_t layer, const SiteInput& in) {
    const LayerWeights& w = layer_weights(layer);
    const int64_t n_rows = in.main.n_rows();
    const Rows gate = state_.rows(kGateSlot, n_rows, weights_.config.ffn);
    const Rows up = state_.rows(kUpSlot, n_rows, weights_.config.ffn);
    const std::array<const kernels::Linear*, 2> weights = {&w.linear(LinearRole::Gate),
                                                           &w.linear(LinearRole::Up)};
    const std::array<Rows, 2> outs = {gate, up};
    backend_.linear_group({.in = in.main, .weights = weights, .outs = outs});
    add_outliers(layer, LinearRole::Gate, in, gate);
    add_outliers(layer, LinearRole::Up, in, up);
    const kernels::SiluMulArgs activation = {.gate = gate, .up = up, .out = gate};
    const kernels::SiteNote note = note_at(site_of(layer, kDownInput));
    const ColumnSplit& split = w.split(InputSite::Down);
    if (!split.empty()) {
        backend_.silu_mul(activation);
        return transformed(split, weights_.ffn.get(), gate, LinearRole::Down, note);
    }
    const Operand out = operand(gate, LinearRole::Down);
    backend_.silu_mul_transform_quantize(activation, weights_.ffn.get(), out, note);
    return {out, {}};
}

SiteInput LayerSteps::input_of(int64_t layer, InputSite site, Rows values) {
    const ColumnSplit& split = layer_weights(layer).split(site);
    if (split.empty()) return {Operand{values}, {}};
    const LinearRole role = kSiteRules[static_cast<size_t>(site)].roles.front();
    return split_input(split, values, role, note_at(site_of(layer, place_of(site))));
}

void LayerSteps::add_linear(int64_t layer, LinearRole role, const SiteInput& in,
                            Residual& residual) {
    const LayerWeights& w = layer_weights(layer);
    const Rows& values = residual.values;
    const Rows partial = state_.rows(kPartialSlot, values.rows, values.cols, DType::F32);
    residual.partial = partial;
    backend_.linear({.in = in.main, .weight = w.linear(role), .out = partial});
    comm_.all_reduce(partial);
    if (!in.outliers) return;
    settle(residual);
    residual.partial = partial;
    backend_.linear({.in = *in.outliers, .weight = *w.outlier(role), .out = partial});
    comm_.all_reduce(partial);
}

void LayerSteps::settle(Residual& residual) {
    if (residual.partial) backend_.add(residual.values, *residual.partial);
    residual.partial.reset();
}

Rows LayerSteps::final_hidden(Residual& residual) {
    const int64_t n = batch_.n_logit_rows, hidden = weights_.config.hidden;
    Residual wanted = {state_.rows(kHiddenSlot, n, hidden, residual.values.dtype), {}};
    backend_.gather_rows(residual.values, batch_.logit_rows, wanted.values);
    if (residual.partial) {
        wanted.partial = state_.rows(kHiddenPartialSlot, n, hidden, DType::F32);
        backend_.gather_rows(*residual.partial, batch_.logit_rows, *wanted.partial);
    }
    const Rows normed = state_.rows(kNormedSlot, n, hidden);
    add_norm(wanted, weights_.final_norm, normed, Operand{normed}, {});
    return normed;
}

void LayerSteps::add_outliers(int64_t layer, LinearRole role, const SiteInput& in, Rows out) {
    if (!in.outliers) return;
    const kernels::Linear& weight = *layer_weights(layer).outlier(role);
    backend_.linear({.in = *in.outliers, .weight = weight, .out = out, .accumulate = true});
}

void LayerSteps::check_finite(int64_t first_layer) {
    std::vector<Site> sites(static_cast<size_t>(batch_.n_tokens));
    backend_.download(sites.data(), batch_.bad_sites, std::ssize(sites) * int64_t{sizeof(Site)});
    backend_.synchronize();
    const Site site = *std::min_element(sites.begin(), sites.end());
    if (site == kernels::kNoSite) return;
    fail(ErrorCode::Numeric, "{}: NaN or Inf in layer {} at {}", weights_.name,
         first_layer + site / kPlaces, kPlaceNames[static_cast<size_t>(site % kPlaces)]);
}

SiteInput LayerSteps::norm(const ColumnSplit& split, Residual& residual, const Gain& gain,
                           LinearRole role, SiteNote note) {
    const Rows normed = state_.rows(kNormedSlot, residual.values.rows, residual.values.cols);
    if (!split.empty()) {
        add_norm(residual, gain, normed, Operand{normed}, note);
        return split_input(split, normed, role, note);
    }
    const Operand in = operand(normed, role);
    add_norm(residual, gain, normed, in, note);
    return {in, {}};
}

void LayerSteps::add_norm(Residual& residual, const Gain& gain, Rows normed, const Operand& out,
                          SiteNote note) {
    const auto eps = static_cast<float>(weights_.config.rms_eps);
    if (!residual.partial) {
        backend_.rms_norm_quantize(
            {.in = residual.values, .gain = gain.data(), .eps = eps, .out = normed}, out, note);
        return;
    }
    backend_.add_rms_norm_quantize({.residual = residual.values,
                                    .partial = *residual.partial,
                                    .gain = gain.data(),
                                    .eps = eps,
                                    .out = normed},
                                   out, note);
    residual.partial.reset();
}

SiteInput LayerSteps::transformed(const ColumnSplit& split, const kernels::Transform* transform,
                                  Rows values, LinearRole role, SiteNote note) {
    if (!split.empty()) {
        if (transform != nullptr) backend_.transform(*transform, values);
        return split_input(split, values, role, note);
    }
    const Operand in = operand(values, role);
    backend_.transform_quantize(transform, values, in, note);
    return {in, {}};
}

SiteInput LayerSteps::split_input(const ColumnSplit& split, Rows values, LinearRole role,
                                  SiteNote note) {
    const auto part = [&](const int32_t* columns, int64_t n, size_t slot,
                          const kernels::ActivationFormat& format, size_t codes_slot) {
        const Rows gathered = state_.rows(slot, values.rows, n);
        backend_.gather_columns(values, columns, gathered);
        const Operand in = operand(gathered, format, codes_slot);
        if (const auto* codes = std::get_if<kernels::QuantizedRows>(&in.rows)) {
            backend_.quantize(gathered, *codes, note);
        }
        return in;
    };
    SiteInput in{
        part(split.data(), split.n_main, kMainSlot, weights_.activation_format(role), kCodesSlot),
        {}};
    if (split.n_outliers > 0) {
        in.outliers = part(split.data() + split.n_main, split.n_outliers, kOutlierSlot,
                           outlier_activation_format(weights_.recipe), kOutlierCodesSlot);
    }
    return in;
}

Operand LayerSteps::operand(Rows values, LinearRole role) {
    return operand(values, weights_.activation_format(role), kCodesSlot);
}

Operand LayerSteps::operand(Rows values, const kernels::ActivationFormat& format, size_t slot) {
    if (format.bits == 16) return {values};
    void* memory = state_.reserve(slot, backend_.quantized_bytes(values.rows, values.cols, format));
    return {backend_.place_quantized(memory, values.rows, values.cols, format)};
}

}  // namespace quarot::model
