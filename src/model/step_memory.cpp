#include "model/step_memory.h"

#include <algorithm>
#include <numeric>

#include "core/check.h"
#include "core/checked_math.h"
#include "model/role_formats.h"
#include "model/shard.h"

namespace quarot::model {

using kernels::BatchView;
using kernels::Rows;

namespace {

constexpr int64_t kAlignment = 16;  // integers

// Where the arrays lie behind `base`; `used` becomes the integers of all of them. Pages are last.
StepArrays arrays_at(int32_t* base, const StepSize& size, int64_t& used) {
    used = 0;
    const auto next = [&](int64_t n) {
        int32_t* const place = base == nullptr ? nullptr : base + used;
        used += round_up(n, kAlignment);
        return place;
    };
    return {.token_ids = next(size.tokens),
            .positions = next(size.tokens),
            .sequence_of_token = next(size.tokens),
            .first_token = next(size.sequences + 1),
            .context_lengths = next(size.sequences),
            .first_page = next(size.sequences + 1),
            .seats = next(size.sequences),
            .logit_rows = next(size.tokens),
            .targets = next(size.logit_rows),
            .bad_sites = next(size.tokens),
            .bad_logits = next(size.tokens),
            .top_ids = next(size.logit_rows),
            .pages = next(size.sequences * size.pages)};
}

// `values` and then `padding` up to n.
void fill(int32_t* to, const std::vector<int32_t>& values, int64_t n, int32_t padding) {
    std::fill(std::copy(values.begin(), values.end(), to), to + n, padding);
}

// Of MLPs outside mixtures; 0: there is none.
int64_t dense_ffn(const ModelConfig& config) {
    return config.has_dense_mlp() ? config.ffn : 0;
}

kernels::StepLimits limits_of(const ModelConfig& config, const StepSize& size) {
    const int64_t ffn = std::max(dense_ffn(config), config.mixture.ffn);
    return {.tokens = size.tokens,
            .sequences = size.sequences,
            .pages = size.pages,
            .logit_rows = size.logit_rows,
            .n_heads = config.n_heads,
            .head_dim = config.head_dim,
            .columns = std::max({config.hidden, ffn, config.q_dim()}),
            .vocab = config.vocab};
}

}  // namespace

StepCounts counts_of(const Batch& batch) {
    return {batch.n_tokens(), batch.n_sequences(), std::ssize(batch.logit_rows)};
}

StepMemory::StepMemory(const Weights& weights, const StepSize& size, kernels::Backend& backend)
    : backend_(backend), ropes_(weights.ropes), size_(size) {
    int64_t n = 0;
    arrays_at(nullptr, size, n);
    const int64_t bytes = n * int64_t{sizeof(int32_t)};
    host_block_ = backend.allocate_host(bytes);
    host_ = arrays_at(static_cast<int32_t*>(host_block_.data()), size, n);
    device = arrays_at(static_cast<int32_t*>(take(bytes)), size, n);
    take_activations(weights);
    take_columns_kept_apart(weights);
    take_experts(weights);
    backend.reserve(limits_of(weights.config, size));
}

void StepMemory::take_activations(const Weights& weights) {
    const ModelConfig& config = weights.config;
    const kernels::BackendTraits traits = backend_.traits();
    const int64_t n = size_.tokens;
    residual = rows(n, config.hidden, traits.residual);
    partial = rows(n, config.hidden, DType::F32);
    normed = rows(n, config.hidden, traits.work);
    query = rows(n, config.q_dim(), traits.work);
    attended = rows(n, config.q_dim(), traits.work);
    key = rows(n, config.kv_dim(), traits.work);
    value = rows(n, config.kv_dim(), traits.work);
    gate = rows(n, dense_ffn(config), traits.work);
    up = rows(n, dense_ffn(config), traits.work);
    wanted = rows(n, config.hidden, traits.residual);
    wanted_partial = rows(n, config.hidden, DType::F32);
    hidden = rows(n, config.hidden, traits.work);
    logits = rows(size_.logit_rows, config.vocab, DType::F32);
    if (weights.shard.size > 1) {
        logit_part = rows(size_.logit_rows, config.vocab / weights.shard.size, DType::F32);
    }
    for (int64_t left = weights.recipe.tp_max / weights.shard.size; left > 1; left /= 2) {
        block_partials.push_back(rows(n, config.hidden, DType::F32));
    }
    scores = static_cast<double*>(take(size_.logit_rows * int64_t{sizeof(double)}));
    top_values = static_cast<float*>(take(size_.logit_rows * int64_t{sizeof(float)}));
}

// Every token goes to top_k experts, whatever the others do.
void StepMemory::take_experts(const Weights& weights) {
    if (!weights.config.has_mixtures()) return;
    const Mixture& mixture = weights.config.mixture;
    const int64_t n = size_.tokens, n_rows = n * mixture.top_k;
    const DType work = backend_.traits().work;
    router_logits = rows(n, mixture.n_experts, DType::F32);
    routing = take(kernels::routing_bytes(n, mixture.top_k, mixture.n_experts));
    expert_rows = rows(n_rows, weights.config.hidden, DType::F32);
    expert_gate = rows(n_rows, mixture.ffn, work);
    expert_up = rows(n_rows, mixture.ffn, work);
    int64_t code_bytes = 0;
    for (const LinearId& id :
         {LinearId(LinearRole::Gate, 0, 0), LinearId(LinearRole::Down, 0, 0)}) {
        const kernels::ActivationFormat format = weights.activation_format(id.role);
        if (format.bits == 16) continue;
        code_bytes = std::max(
            code_bytes, backend_.quantized_bytes(n_rows, in_features(id, weights.config), format));
    }
    expert_codes = take(code_bytes);
}

void StepMemory::take_columns_kept_apart(const Weights& weights) {
    const kernels::ActivationFormat outlier_format = outlier_activation_format(weights.recipe);
    int64_t code_bytes = 0, outlier_code_bytes = 0, n_main = 0, n_kept_apart = 0;
    for (const LinearId& id : linears_of(weights.config)) {
        const LinearRole role = id.role;
        const int64_t n_apart = n_outliers(weights.recipe, role, weights.config);
        const int64_t cols = in_features(id, weights.config) - n_apart;
        const kernels::ActivationFormat format = weights.activation_format(role);
        if (format.bits != 16) {
            code_bytes = std::max(code_bytes, backend_.quantized_bytes(size_.tokens, cols, format));
        }
        if (!has_column_order(weights.recipe, role)) continue;
        n_main = std::max(n_main, cols);
        n_kept_apart = std::max(n_kept_apart, n_apart);
        if (outlier_format.bits == 16) continue;
        outlier_code_bytes = std::max(
            outlier_code_bytes, backend_.quantized_bytes(size_.tokens, n_apart, outlier_format));
    }
    for (const LayerWeights& layer : weights.layers) {
        for (const ColumnSplit& split : layer.splits) {
            n_main = std::max(n_main, split.n_main);
            n_kept_apart = std::max(n_kept_apart, split.n_outliers);
        }
    }
    codes = take(code_bytes);
    outlier_codes = take(outlier_code_bytes);
    main_columns = rows(size_.tokens, n_main, backend_.traits().work);
    outlier_columns = rows(size_.tokens, n_kept_apart, backend_.traits().work);
}

kernels::Operand StepMemory::operand(const kernels::Rows& values,
                                     const kernels::ActivationFormat& format, void* room) const {
    if (format.bits == 16) return {values};
    kernels::QuantizedRows rows =
        backend_.place_quantized(room, values.rows, values.cols, format.of_rows(values.cols));
    rows.positions = device.positions;
    return {rows};
}

BatchView StepMemory::upload(const Batch& batch, const StepCounts& counts) {
    const StepCounts used = counts_of(batch);
    QUAROT_CHECK(batch.first_token.back() == used.tokens, "{}", used.tokens);
    QUAROT_CHECK(used.tokens <= counts.tokens && counts.tokens <= size_.tokens, "{}", used.tokens);
    QUAROT_CHECK(used.sequences <= counts.sequences && counts.sequences <= size_.sequences, "{}",
                 used.sequences);
    QUAROT_CHECK(used.logit_rows <= counts.logit_rows && counts.logit_rows <= size_.tokens, "{}",
                 used.logit_rows);
    QUAROT_CHECK(std::ssize(batch.pages) <= size_.sequences * size_.pages, "{} pages",
                 batch.pages.size());
    const int32_t last = *std::max_element(batch.positions.begin(), batch.positions.end());
    for (const auto& rope : ropes_) rope->reach(1 + last, backend_);
    fill(host_.token_ids, batch.token_ids, counts.tokens, 0);
    fill(host_.positions, batch.positions, counts.tokens, -1);
    std::fill_n(host_.sequence_of_token, counts.tokens, 0);
    for (int64_t s = 0; s < used.sequences; ++s) {
        const auto sequence = static_cast<size_t>(s);
        std::fill(host_.sequence_of_token + batch.first_token[sequence],
                  host_.sequence_of_token + batch.first_token[sequence + 1],
                  static_cast<int32_t>(s));
    }
    fill(host_.first_token, batch.first_token, counts.sequences + 1, batch.first_token.back());
    fill(host_.context_lengths, batch.context_lengths, counts.sequences, 0);
    fill(host_.first_page, batch.first_page, counts.sequences + 1, batch.first_page.back());
    if (batch.seats.empty()) {
        std::iota(host_.seats, host_.seats + counts.sequences, 0);
    } else {
        fill(host_.seats, batch.seats, counts.sequences, 0);
    }
    fill(host_.logit_rows, batch.logit_rows, counts.logit_rows, 0);
    std::fill_n(host_.bad_sites, counts.tokens, kernels::kNoSite);
    std::fill_n(host_.bad_logits, counts.logit_rows, kernels::kNoSite);
    std::copy(batch.pages.begin(), batch.pages.end(), host_.pages);
    const int64_t n = host_.pages - host_.token_ids + std::ssize(batch.pages);
    backend_.upload(device.token_ids, host_.token_ids, n * int64_t{sizeof(int32_t)});
    counts_ = counts;
    return {.n_tokens = counts.tokens,
            .token_ids = device.token_ids,
            .positions = device.positions,
            .sequence_of_token = device.sequence_of_token,
            .n_sequences = counts.sequences,
            .first_token = device.first_token,
            .context_lengths = device.context_lengths,
            .pages = device.pages,
            .first_page = device.first_page,
            .seats = device.seats,
            .n_logit_rows = counts.logit_rows,
            .logit_rows = device.logit_rows,
            .bad_sites = device.bad_sites};
}

StepNotes StepMemory::wait() {
    const int64_t n = host_.pages - host_.bad_sites;
    backend_.download(host_.bad_sites, device.bad_sites, n * int64_t{sizeof(kernels::Site)});
    backend_.synchronize();
    return notes();
}

StepNotes StepMemory::notes() const {
    return {{host_.bad_sites, static_cast<size_t>(counts_.tokens)},
            {host_.bad_logits, static_cast<size_t>(counts_.logit_rows)},
            {host_.top_ids, static_cast<size_t>(size_.logit_rows)}};
}

void* StepMemory::take(int64_t bytes) {
    return buffers_.emplace_back(backend_.allocate(bytes)).data();
}

Rows StepMemory::rows(int64_t n, int64_t cols, DType dtype) {
    const int64_t stride = round_up(cols, kAlignment);
    return {take(n * stride * size_of(dtype)), dtype, n, cols, stride};
}

}  // namespace quarot::model
