// One decoder layer in parts, each from one place where linears read to the next.
#include "model/layer_steps.h"

#include <fmt/format.h>

#include <array>

namespace quarot::model {

using kernels::Operand;
using kernels::Rows;
using kernels::Site;
using kernels::SiteNote;

namespace {

// Places of one layer at which values are quantized, for error messages.
enum Place : Site {
    kAttentionInput,
    kKvAppend,
    kOutputInput,
    kRouter,
    kMlpInput,
    kDownInput,
    kPlaces
};
constexpr std::array<const char*, kPlaces> kPlaceNames = {
    "the input of q, k and v",  "the K and V written to the cache", "the input of o_proj",
    "the logits of the router", "the input of gate and up",         "the input of down_proj"};

Site site_of(int64_t layer, Place place) {
    return static_cast<Site>(layer * kPlaces + place);
}

Rows columns_of(const Rows& rows, int64_t first, int64_t count) {
    return {rows.at(0) + first * size_of(rows.dtype), rows.dtype, rows.rows, count, rows.stride};
}

Place place_of(InputSite site) {
    constexpr std::array<Place, 4> kPlaceOfSite = {kAttentionInput, kOutputInput, kMlpInput,
                                                   kDownInput};
    return kPlaceOfSite[static_cast<size_t>(site)];
}

// Can each rank add and normalise its share of the rows alone? Not where more than the next norm
// reads a sum.
bool only_norms_read_sums(const Weights& weights) {
    const ModelConfig& config = weights.config;
    return config.norms.contains(NormRole::AttentionIn) && config.norms.contains(NormRole::MlpIn) &&
           !config.parallel && !config.shapes_outputs() && weights.residual == nullptr;
}

}  // namespace

Site router_site(int64_t layer) {
    return site_of(layer, kRouter);
}

std::string describe(Site site, int64_t first_layer) {
    if (site == kLogitSite) return "among the logits";
    return fmt::format("in layer {} at {}", first_layer + site / kPlaces,
                       kPlaceNames[static_cast<size_t>(site % kPlaces)]);
}

LayerSteps::LayerSteps(const Weights& weights, const kernels::BatchView& batch,
                       kernels::KvStore& kv, kernels::Backend& backend, comm::Comm& comm,
                       StepMemory& memory)
    : weights_(weights),
      batch_(batch),
      kv_(kv),
      backend_(backend),
      comm_(comm),
      memory_(memory),
      apart_(weights, backend, memory),
      mixtures_(weights, backend, memory),
      shares_rows_(comm.shares_rows(batch.n_tokens) && only_norms_read_sums(weights)) {}

const LayerWeights& LayerSteps::layer_weights(int64_t layer) const {
    return weights_.layers[static_cast<size_t>(layer)];
}

void LayerSteps::embed(const Residual& residual) {
    backend_.embed({.table = *weights_.embedding,
                    .batch = batch_,
                    .out = residual.values,
                    .positions = weights_.positions.get(),
                    .position_offset = weights_.config.position_offset});
    enter(residual.values);
}

void LayerSteps::enter(Rows rows) {
    const auto scale = static_cast<float>(weights_.config.embed_scale);
    if (scale != 1.0f) backend_.scale({.in = rows, .scale = scale, .out = rows});
    if (weights_.enter_residual) backend_.transform(*weights_.enter_residual, rows);
}

SiteInput LayerSteps::attention_input(int64_t layer, Residual& residual) {
    return norm(layer, InputSite::Attention, NormRole::AttentionIn, residual);
}

void LayerSteps::attention(int64_t layer, const SiteInput& in, Rows out) {
    const ModelConfig& config = weights_.config;
    const LayerWeights& w = layer_weights(layer);
    const Rows q = of_batch(memory_.query);
    const Rows k = of_batch(memory_.key);
    const Rows v = of_batch(memory_.value);
    linears(layer, InputSite::Attention, in, std::array{q, k, v});
    norm_heads(q, w.norm(NormRole::Query));
    norm_heads(k, w.norm(NormRole::Key));
    backend_.rope_transform_append_kv({
        .rope = {.q = q,
                 .k = k,
                 .head_dim = config.head_dim,
                 .table = weights_.rope_table(layer),
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
                        .scale = config.scale_of_scores(),
                        .batch = batch_,
                        .kv = kv_,
                        .out = out,
                        .k = k,
                        .key_bias = weights_.key_bias(layer),
                        .score_cap = static_cast<float>(config.score_cap),
                        .window = config.layer(layer).window});
}

void LayerSteps::norm_heads(Rows heads, const NormWeights& norm) {
    const QkNormSpan span = weights_.config.qk_norm;
    if (span == QkNormSpan::None) return;
    backend_.norm({.in = heads,
                   .gain = norm.gain(),
                   .eps = static_cast<float>(weights_.config.norm_eps),
                   .group = span == QkNormSpan::Head ? weights_.config.head_dim : 0,
                   .out = heads});
}

SiteInput LayerSteps::output_input(int64_t layer, Rows attended) {
    return site_input(layer, InputSite::Output, attended, [&](const Operand& out, SiteNote note) {
        backend_.transform_quantize(weights_.head_mix.get(), attended, out, note);
    });
}

SiteInput LayerSteps::mlp_input(int64_t layer, Residual& residual) {
    return norm(layer, InputSite::Mlp, norm_at(InputSite::Mlp, weights_.config), residual);
}

void LayerSteps::gate_and_up(int64_t layer, const SiteInput& in) {
    if (mixtures_.at(layer)) {
        mixed_ = mixtures_.down_input(layer, in.main, note_at(site_of(layer, kDownInput)));
        return;
    }
    const std::array outs = {of_batch(memory_.gate), of_batch(memory_.up)};
    linears(layer, InputSite::Mlp, in, std::span(outs).last(weights_.config.gated ? 2 : 1));
}

SiteInput LayerSteps::down_input(int64_t layer) {
    if (mixtures_.at(layer)) return {mixed_, {}};
    const Rows gate = of_batch(memory_.gate), up = of_batch(memory_.up);
    const bool gated = weights_.config.gated;
    const kernels::ActivateArgs args = {.activation = weights_.config.activation,
                                        .gate = gated ? gate : up,
                                        .up = gated ? std::optional(up) : std::nullopt,
                                        .out = gate};
    return site_input(layer, InputSite::Down, gate, [&](const Operand& out, SiteNote note) {
        backend_.activate_transform_quantize(args, weights_.ffn.get(), out, note);
    });
}

SiteInput LayerSteps::input_of(int64_t layer, InputSite site, Rows values) {
    if (!apart_.at(layer, site)) return {Operand{values}, {}};
    return apart_.read(layer, site, values, note_at(site_of(layer, place_of(site))));
}

void LayerSteps::add_linear(int64_t layer, LinearRole role, const SiteInput& in,
                            Residual& residual) {
    const LayerWeights& w = layer_weights(layer);
    const Rows partial = of_batch(memory_.partial);
    if (role == LinearRole::Down && mixtures_.at(layer)) {
        mixtures_.add(layer, in.main, partial);
    } else {
        sum_blocks(layer, role, in.main, {.first = 0, .count = w.n_blocks(role)}, 0, partial);
    }
    residual.partial = partial;
    residual.is_part = shares_rows_;
    if (!shares_rows_) comm_.sum(partial);
    if (weights_.config.shapes_outputs()) {
        if (in.outliers) {
            backend_.linear({.in = *in.outliers,
                             .weight = *w.outlier(role),
                             .out = partial,
                             .accumulate = true});
        }
        return shape_output(layer, role, partial);
    }
    if (!in.outliers) return;
    settle(residual);
    backend_.linear({.in = *in.outliers, .weight = *w.outlier(role), .out = partial});
    residual.partial = partial;
}

void LayerSteps::shape_output(int64_t layer, LinearRole role, Rows partial) {
    const ModelConfig& config = weights_.config;
    const NormRole norm = role == LinearRole::O ? NormRole::AttentionOut : NormRole::MlpOut;
    if (config.norms.contains(norm)) {
        backend_.norm({.in = partial,
                       .gain = layer_weights(layer).norm(norm).gain(),
                       .eps = static_cast<float>(config.norm_eps),
                       .out = partial});
    }
    const auto scale = static_cast<float>(config.residual_scale);
    if (scale != 1.0f) backend_.scale({.in = partial, .scale = scale, .out = partial});
}

void LayerSteps::sum_blocks(int64_t layer, LinearRole role, const Operand& in, const Blocks& blocks,
                            size_t level, Rows out) {
    if (blocks.count == 1) {
        backend_.linear({.in = block_input(layer, role, in, blocks.first),
                         .weight = layer_weights(layer).block(role, blocks.first),
                         .out = out});
        return;
    }
    const int64_t half = blocks.count / 2;
    const Rows other = of_batch(memory_.block_partials[level]);
    sum_blocks(layer, role, in, {blocks.first, half}, level + 1, out);
    sum_blocks(layer, role, in, {blocks.first + half, half}, level + 1, other);
    backend_.add(out, other);
}

Operand LayerSteps::block_input(int64_t layer, LinearRole role, const Operand& in, int64_t block) {
    const LayerWeights& w = layer_weights(layer);
    if (w.n_blocks(role) == 1) return in;
    const int64_t width = w.block(role, block).in_features();
    const Rows values = columns_of(std::get<Rows>(in.rows), block * width, width);
    return quantized(layer, role, values);
}

Operand LayerSteps::quantized(int64_t layer, LinearRole role, Rows values) {
    const Operand in =
        memory_.operand(values, weights_.activation_format(layer, role), memory_.codes);
    if (const auto* codes = std::get_if<kernels::QuantizedRows>(&in.rows)) {
        const Place place = place_of(model::site_of(role));
        backend_.quantize(values, *codes, note_at(site_of(layer, place)));
    }
    return in;
}

void LayerSteps::settle(Residual& residual) {
    if (residual.partial) backend_.add(residual.values, *residual.partial);
    residual.partial.reset();
}

void LayerSteps::final_norm(Residual& residual) {
    if (residual.partial && residual.is_part) comm_.sum(*residual.partial);
    if (shares_rows_) comm_.gather_rows(residual.values);
    const int64_t n = batch_.n_logit_rows;
    Residual wanted = {memory_.wanted.slice(0, n), {}};
    backend_.gather_rows(residual.values, batch_.logit_rows, wanted.values);
    if (residual.partial) {
        wanted.partial = memory_.wanted_partial.slice(0, n);
        backend_.gather_rows(*residual.partial, batch_.logit_rows, *wanted.partial);
    }
    if (weights_.leave_residual) {  // norms of rotated rows are equal
        settle(wanted);
        backend_.transform(*weights_.leave_residual, wanted.values);
    }
    const Rows normed = memory_.hidden.slice(0, n);
    add_norm(wanted, weights_.final_norm, normed, Operand{normed}, {});
}

template <typename Make>
SiteInput LayerSteps::site_input(int64_t layer, InputSite site, const Rows& values,
                                 const Make& make) {
    const SiteNote note = note_at(site_of(layer, place_of(site)));
    if (site == InputSite::Mlp && mixtures_.at(layer)) {
        make(Operand{values}, note);
        return {mixtures_.input(layer, values, note_at(router_site(layer)), note), {}};
    }
    if (apart_.at(layer, site)) {
        make(Operand{values}, note);
        return apart_.read(layer, site, values, note);
    }
    const LinearRole reader = rule_of(site).roles.front();
    if (layer_weights(layer).n_blocks(reader) > 1) {  // each of which is quantized by itself
        make(Operand{values}, note);
        return {Operand{values}, {}};
    }
    const Operand in =
        memory_.operand(values, weights_.activation_format(layer, reader), memory_.codes);
    make(in, note);
    return {in, {}};
}

SiteInput LayerSteps::norm(int64_t layer, InputSite site, NormRole role, Residual& residual) {
    const Rows normed = of_batch(memory_.normed);
    return site_input(layer, site, normed, [&](const Operand& out, SiteNote note) {
        if (weights_.config.norms.contains(role) && !weights_.residual) {
            return add_norm(residual, layer_weights(layer).norm(role), normed, out, note);
        }
        normalize(layer, role, residual, normed);
        backend_.transform_quantize(weights_.residual.get(), normed, out, note);
    });
}

void LayerSteps::normalize(int64_t layer, NormRole role, Residual& residual, Rows out) {
    if (weights_.config.norms.contains(role)) {
        return add_norm(residual, layer_weights(layer).norm(role), out, Operand{out}, {});
    }
    settle(residual);
    backend_.scale({.in = residual.values, .out = out});
}

void LayerSteps::linears(int64_t layer, InputSite site, const SiteInput& in,
                         std::span<const Rows> outs) {
    const std::span<const LinearRole> roles = roles_at(site, weights_.config);
    std::array<const kernels::Linear*, kLinearRolesOfLayers> weights{};
    for (size_t i = 0; i < roles.size(); ++i) {
        weights[i] = &layer_weights(layer).linear(roles[i]);
    }
    backend_.linear_group(
        {.in = in.main, .weights = std::span(weights).first(roles.size()), .outs = outs});
    apart_.add(layer, site, in, outs);
}

void LayerSteps::add_norm(Residual& residual, const NormWeights& norm, Rows normed,
                          const Operand& out, SiteNote note) {
    const auto eps = static_cast<float>(weights_.config.norm_eps);
    if (!residual.partial) {
        backend_.norm_quantize({.in = residual.values,
                                .kind = weights_.config.norm,
                                .gain = norm.gain(),
                                .bias = norm.bias(),
                                .eps = eps,
                                .out = normed},
                               out, note);
        return;
    }
    backend_.add_norm_quantize({.residual = residual.values,
                                .partial = *residual.partial,
                                .group = residual.is_part ? &comm_ : nullptr,
                                .kind = weights_.config.norm,
                                .gain = norm.gain(),
                                .bias = norm.bias(),
                                .eps = eps,
                                .out = normed},
                               out, note);
    residual.partial.reset();
}

}  // namespace quarot::model
