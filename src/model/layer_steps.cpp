// One decoder layer in parts, each from one place where linears read to the next.
#include "model/layer_steps.h"

#include <fmt/format.h>

#include <array>
#include <cmath>

namespace quarot::model {

using kernels::Operand;
using kernels::Rows;
using kernels::Site;
using kernels::SiteNote;

namespace {

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

std::string describe(Site site, int64_t first_layer) {
    if (site == kLogitSite) return "among the logits";
    return fmt::format("in layer {} at {}", first_layer + site / kPlaces,
                       kPlaceNames[static_cast<size_t>(site % kPlaces)]);
}

const LayerWeights& LayerSteps::layer_weights(int64_t layer) const {
    return weights_.layers[static_cast<size_t>(layer)];
}

SiteInput LayerSteps::attention_input(int64_t layer, Residual& residual) {
    const LayerWeights& w = layer_weights(layer);
    return norm(w.split(InputSite::Attention), residual, w.norm(NormRole::Attention), LinearRole::Q,
                note_at(site_of(layer, kAttentionInput)));
}

void LayerSteps::attention(int64_t layer, const SiteInput& in, Rows out) {
    const ModelConfig& config = weights_.config;
    const LayerWeights& w = layer_weights(layer);
    const Rows q = of_batch(memory_.query);
    const Rows k = of_batch(memory_.key);
    const Rows v = of_batch(memory_.value);
    const std::array<const kernels::Linear*, 3> qkv = {
        &w.linear(LinearRole::Q), &w.linear(LinearRole::K), &w.linear(LinearRole::V)};
    const std::array<Rows, 3> outs = {q, k, v};
    backend_.linear_group({.in = in.main, .weights = qkv, .outs = outs});
    add_outliers(layer, LinearRole::Q, in, q);
    add_outliers(layer, LinearRole::K, in, k);
    add_outliers(layer, LinearRole::V, in, v);
    norm_heads(q, w.norm(NormRole::Query));
    norm_heads(k, w.norm(NormRole::Key));
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
                        .out = out,
                        .key_bias = weights_.key_bias(layer)});
}

void LayerSteps::norm_heads(Rows heads, const Gain& gain) {
    if (weights_.config.qk_norm == QkNormSpan::None) return;
    backend_.rms_norm({.in = heads,
                       .gain = gain.data(),
                       .eps = static_cast<float>(weights_.config.rms_eps),
                       .group = weights_.config.head_dim,
                       .out = heads});
}

SiteInput LayerSteps::output_input(int64_t layer, Rows attended) {
    return transformed(layer_weights(layer).split(InputSite::Output), weights_.head_mix.get(),
                       attended, LinearRole::O, note_at(site_of(layer, kOutputInput)));
}

SiteInput LayerSteps::mlp_input(int64_t layer, Residual& residual) {
    const LayerWeights& w = layer_weights(layer);
    return norm(w.split(InputSite::Mlp), residual, w.norm(NormRole::Mlp), LinearRole::Gate,
                note_at(site_of(layer, kMlpInput)));
}

SiteInput LayerSteps::down_input(int64_t layer, const SiteInput& in) {
    const LayerWeights& w = layer_weights(layer);
    const Rows gate = of_batch(memory_.gate), up = of_batch(memory_.up);
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
    const LinearRole role = rule_of(site).roles.front();
    return split_input(split, values, role, note_at(site_of(layer, place_of(site))));
}

void LayerSteps::add_linear(int64_t layer, LinearRole role, const SiteInput& in,
                            Residual& residual) {
    const LayerWeights& w = layer_weights(layer);
    const Rows partial = of_batch(memory_.partial);
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

void LayerSteps::final_norm(Residual& residual) {
    const int64_t n = batch_.n_logit_rows;
    Residual wanted = {memory_.wanted.slice(0, n), {}};
    backend_.gather_rows(residual.values, batch_.logit_rows, wanted.values);
    if (residual.partial) {
        wanted.partial = memory_.wanted_partial.slice(0, n);
        backend_.gather_rows(*residual.partial, batch_.logit_rows, *wanted.partial);
    }
    const Rows normed = memory_.hidden.slice(0, n);
    add_norm(wanted, weights_.final_norm, normed, Operand{normed}, {});
}

void LayerSteps::add_outliers(int64_t layer, LinearRole role, const SiteInput& in, Rows out) {
    if (!in.outliers) return;
    const kernels::Linear& weight = *layer_weights(layer).outlier(role);
    backend_.linear({.in = *in.outliers, .weight = weight, .out = out, .accumulate = true});
}

SiteInput LayerSteps::norm(const ColumnSplit& split, Residual& residual, const Gain& gain,
                           LinearRole role, SiteNote note) {
    const Rows normed = of_batch(memory_.normed);
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
    const auto part = [&](const int32_t* columns, int64_t n, Rows room,
                          const kernels::ActivationFormat& format, void* codes) {
        Rows gathered = of_batch(room);
        gathered.cols = n;
        backend_.gather_columns(values, columns, gathered);
        const Operand in = operand(gathered, format, codes);
        if (const auto* quantized = std::get_if<kernels::QuantizedRows>(&in.rows)) {
            backend_.quantize(gathered, *quantized, note);
        }
        return in;
    };
    SiteInput in{part(split.data(), split.n_main, memory_.main_columns,
                      weights_.activation_format(role), memory_.codes),
                 {}};
    if (split.n_outliers > 0) {
        in.outliers = part(split.data() + split.n_main, split.n_outliers, memory_.outlier_columns,
                           outlier_activation_format(weights_.recipe), memory_.outlier_codes);
    }
    return in;
}

Operand LayerSteps::operand(Rows values, LinearRole role) {
    return operand(values, weights_.activation_format(role), memory_.codes);
}

Operand LayerSteps::operand(Rows values, const kernels::ActivationFormat& format, void* codes) {
    if (format.bits == 16) return {values};
    return {backend_.place_quantized(codes, values.rows, values.cols, format)};
}

}  // namespace quarot::model
