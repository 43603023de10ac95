#include "bench/sample_step.h"

#include <algorithm>
#include <optional>

#include "core/check.h"
#include "core/checked_math.h"
#include "core/error.h"
#include "tensor/float_convert.h"

namespace quarot::bench {

using kernels::Rows;
using model::InputSite;
using model::LinearRole;

namespace {

constexpr int64_t kPatternRows = 64;  // of random numbers; more rows repeat them

int64_t pages_of(const StepShape& shape) {
    return ceil_div(shape.context(), kernels::KvDescriptor().page_tokens);
}

model::StepSize step_size(const StepShape& shape) {
    return {.tokens = shape.rows(),
            .sequences = shape.sequences,
            .pages = pages_of(shape),
            .logit_rows = shape.sequences};
}

StepShape step_of(const SpeedTest& test, int64_t step_tokens) {
    if (test.phase == Phase::Decode) {
        return {.sequences = test.batch, .tokens = 1, .depth = test.positions() - 1};
    }
    const int64_t fitting = std::max<int64_t>(1, step_tokens / test.n_tokens);
    return {.sequences = std::min(test.batch, fitting),
            .tokens = std::min(test.n_tokens, step_tokens),
            .depth = test.depth};
}

}  // namespace

std::vector<StepShape> steps_of(std::span<const SpeedTest> tests, int64_t step_tokens) {
    std::vector<StepShape> steps;
    for (const SpeedTest& test : tests) {
        const StepShape step = step_of(test, step_tokens);
        if (std::find(steps.begin(), steps.end(), step) == steps.end()) steps.push_back(step);
    }
    return steps;
}

CacheSize cache_size(std::span<const StepShape> steps) {
    CacheSize size;
    for (const StepShape& step : steps) {
        const int64_t tokens =
            step.sequences * pages_of(step) * kernels::KvDescriptor().page_tokens;
        size.n_positions = std::max(size.n_positions, step.context());
        size.n_tokens = std::max(size.n_tokens, tokens);
        size.n_sequences = std::max(size.n_sequences, step.sequences);
    }
    return size;
}

SampleStep::SampleStep(const model::Weights& weights, const StepShape& shape,
                       kernels::Backend& backend)
    : weights_(weights),
      shape_(shape),
      backend_(backend),
      memory_(weights, step_size(shape), backend),
      kv_(backend.make_kv_store(weights.kv_descriptor(shape.sequences),
                                shape.sequences * pages_of(shape))) {
    QUAROT_CHECK(shape.context() <= weights.n_positions, "{}", shape.context());
    if (weights.config.has_mixtures()) {
        fail(ErrorCode::Unsupported,
             "{} has mixtures of experts, whose operations are not timed by themselves in this "
             "version",
             weights.name);
    }
    activated_ = memory_.gate;
    buffers_.push_back(
        backend.allocate(activated_.rows * activated_.stride * size_of(activated_.dtype)));
    activated_.data = buffers_.back().data();
    for (const Rows& rows :
         {memory_.residual, memory_.partial, memory_.normed, memory_.query, memory_.key,
          memory_.value, memory_.attended, memory_.gate, memory_.up, memory_.hidden, activated_}) {
        fill(rows);
    }
    place_operands();
    fill_cache();
    batch_ = memory_.upload(batch_at(shape.depth, shape.tokens));
    this->layer(0);  // makes the codes
    backend.synchronize();
}

void SampleStep::fill(const Rows& rows) {
    const int64_t n = std::min(rows.rows, kPatternRows);
    std::vector<float> pattern(static_cast<size_t>(n * rows.stride));
    std::normal_distribution<float> normal;
    for (float& value : pattern) value = normal(random_);
    const int64_t row_bytes = rows.stride * size_of(rows.dtype);
    std::vector<std::byte> stored(static_cast<size_t>(n * row_bytes));
    narrow(rows.dtype, pattern, stored.data());
    for (int64_t first = 0; first < rows.rows; first += n) {
        backend_.upload(rows.at(first), stored.data(), std::min(n, rows.rows - first) * row_bytes);
    }
    backend_.synchronize();
}

void SampleStep::place_operands() {
    for (const InputSite site :
         {InputSite::Attention, InputSite::Output, InputSite::Mlp, InputSite::Down}) {
        const Rows in = values(site);
        const kernels::ActivationFormat format =
            weights_.activation_format(model::rule_of(site).roles.front());
        const int64_t bytes =
            format.bits == 16 ? 0 : backend_.quantized_bytes(in.rows, in.cols, format);
        buffers_.push_back(backend_.allocate(bytes));
        operands_[static_cast<size_t>(site)] = memory_.operand(in, format, buffers_.back().data());
    }
}

void SampleStep::fill_cache() {
    for (int64_t first = 0; first < shape_.depth; first += shape_.tokens) {
        const int64_t n = std::min(shape_.tokens, shape_.depth - first);
        batch_ = memory_.upload(batch_at(first, n));
        for (int64_t i = 0; i < weights_.config.n_layers; ++i) {
            backend_.append_kv({.k = memory_.key.slice(0, batch_.n_tokens),
                                .v = memory_.value.slice(0, batch_.n_tokens),
                                .layer = i,
                                .batch = batch_,
                                .kv = *kv_,
                                .note = {}});
        }
        backend_.synchronize();
    }
}

model::Batch SampleStep::batch_at(int64_t first_position, int64_t n) const {
    model::Batch batch;
    for (int64_t s = 0; s < shape_.sequences; ++s) {
        for (int64_t i = 0; i < n; ++i) {
            batch.token_ids.push_back(0);
            batch.positions.push_back(static_cast<int32_t>(first_position + i));
        }
        for (int64_t page = 0; page < pages_of(shape_); ++page) {
            batch.pages.push_back(static_cast<int32_t>(s * pages_of(shape_) + page));
        }
        batch.logit_rows.push_back(static_cast<int32_t>(batch.n_tokens() - 1));
        batch.first_token.push_back(static_cast<int32_t>(batch.n_tokens()));
        batch.first_page.push_back(static_cast<int32_t>(batch.pages.size()));
        batch.context_lengths.push_back(static_cast<int32_t>(first_position + n));
    }
    return batch;
}

Rows SampleStep::values(InputSite site) const {
    switch (site) {
        case InputSite::Output:
            return of_step(memory_.attended);
        case InputSite::Down:
            return of_step(activated_);
        default:
            return of_step(memory_.normed);
    }
}

void SampleStep::norm(int64_t layer, InputSite site) {
    const model::ModelConfig& config = weights_.config;
    const model::NormWeights& norm =
        weights_.layers[static_cast<size_t>(layer)].norm(norm_at(site, config));
    const bool is_rotated = weights_.residual != nullptr;
    const kernels::Operand out = is_rotated ? kernels::Operand{values(site)} : operand(site);
    backend_.add_norm_quantize({.residual = of_step(memory_.residual),
                                .partial = of_step(memory_.partial),
                                .kind = config.norm,
                                .gain = norm.gain(),
                                .bias = norm.bias(),
                                .eps = static_cast<float>(config.norm_eps),
                                .out = values(site)},
                               out, {});
    if (is_rotated) {
        backend_.transform_quantize(weights_.residual.get(), values(site), operand(site), {});
    }
}

void SampleStep::linears(int64_t layer, InputSite site) {
    const model::LayerWeights& weights = weights_.layers[static_cast<size_t>(layer)];
    const auto one = [&](LinearRole role) {
        backend_.linear(
            {.in = operand(site), .weight = weights.linear(role), .out = of_step(memory_.partial)});
    };
    const auto group = [&](std::span<const Rows> outs) {
        std::vector<const kernels::Linear*> matrices;
        for (const LinearRole role : roles_at(site, weights_.config)) {
            matrices.push_back(&weights.linear(role));
        }
        backend_.linear_group({.in = operand(site), .weights = matrices, .outs = outs});
    };
    const std::array gate_and_up = {of_step(memory_.gate), of_step(memory_.up)};
    switch (site) {
        case InputSite::Attention:
            return group(
                std::array{of_step(memory_.query), of_step(memory_.key), of_step(memory_.value)});
        case InputSite::Output:
            return one(LinearRole::O);
        case InputSite::Mlp:
            return group(std::span(gate_and_up).last(weights_.config.gated ? 2 : 1));
        case InputSite::Down:
            return one(LinearRole::Down);
    }
}

void SampleStep::append(int64_t layer, Rotated rotated) {
    const Rows k = of_step(memory_.key);
    backend_.rope_transform_append_kv(
        {.rope = {.q = of_step(memory_.query),
                  .k = k,
                  .head_dim = weights_.config.head_dim,
                  .table = weights_.rope_table(layer),
                  .batch = batch_},
         .transform = rotated == Rotated::Yes ? weights_.query_key.get() : nullptr,
         .append = {.k = k,
                    .v = of_step(memory_.value),
                    .layer = layer,
                    .batch = batch_,
                    .kv = *kv_,
                    .note = {}}});
}

void SampleStep::attention(int64_t layer) {
    backend_.attention({.q = of_step(memory_.query),
                        .n_heads = weights_.config.n_heads,
                        .layer = layer,
                        .scale = weights_.config.scale_of_scores(),
                        .batch = batch_,
                        .kv = *kv_,
                        .out = of_step(memory_.attended),
                        .k = of_step(memory_.key),
                        .key_bias = weights_.key_bias(layer),
                        .score_cap = static_cast<float>(weights_.config.score_cap),
                        .window = weights_.config.layer(layer).window});
}

void SampleStep::mix_heads(Rotated rotated) {
    backend_.transform_quantize(rotated == Rotated::Yes ? weights_.head_mix.get() : nullptr,
                                values(InputSite::Output), operand(InputSite::Output), {});
}

void SampleStep::activate() {
    const bool gated = weights_.config.gated;
    const Rows up = of_step(memory_.up);
    backend_.activate_transform_quantize({.activation = weights_.config.activation,
                                          .gate = gated ? of_step(memory_.gate) : up,
                                          .up = gated ? std::optional(up) : std::nullopt,
                                          .out = of_step(activated_)},
                                         weights_.ffn.get(), operand(InputSite::Down), {});
}

void SampleStep::quantize_ffn(Rotated rotated) {
    backend_.transform_quantize(rotated == Rotated::Yes ? weights_.ffn.get() : nullptr,
                                values(InputSite::Down), operand(InputSite::Down), {});
}

void SampleStep::layer(int64_t layer) {
    norm(layer, InputSite::Attention);
    linears(layer, InputSite::Attention);
    append(layer);
    attention(layer);
    mix_heads();
    linears(layer, InputSite::Output);
    if (!weights_.config.shares_norm()) norm(layer, InputSite::Mlp);
    linears(layer, InputSite::Mlp);
    activate();
    linears(layer, InputSite::Down);
}

void SampleStep::head() {
    backend_.linear({.in = kernels::Operand{memory_.hidden.slice(0, shape_.sequences)},
                     .weight = *weights_.lm_head,
                     .out = memory_.logits.slice(0, shape_.sequences)});
}

}  // namespace quarot::bench
