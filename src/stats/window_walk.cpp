#include "stats/window_walk.h"

#include <numeric>
#include <utility>

#include "core/check.h"
#include "core/error.h"
#include "core/process.h"
#include "model/forward.h"
#include "tensor/float_convert.h"

namespace quarot::stats {
namespace {

using kernels::Rows;
using model::LinearRole;

model::Batch one_sequence(std::span<const int32_t> ids, int64_t page_tokens) {
    const auto n_tokens = static_cast<int32_t>(ids.size());
    model::Batch batch;
    batch.token_ids.assign(ids.begin(), ids.end());
    batch.positions.resize(ids.size());
    std::iota(batch.positions.begin(), batch.positions.end(), 0);
    batch.first_token.push_back(n_tokens);
    batch.context_lengths.push_back(n_tokens);
    batch.pages.resize(static_cast<size_t>(ceil_div(n_tokens, page_tokens)));
    std::iota(batch.pages.begin(), batch.pages.end(), 0);
    batch.first_page.push_back(static_cast<int32_t>(batch.pages.size()));
    return batch;
}

model::StepSize size_of_window(const model::Weights& weights) {
    const int64_t page_tokens = weights.kv_descriptor().page_tokens;
    return {.tokens = weights.n_positions, .pages = ceil_div(weights.n_positions, page_tokens)};
}

const Rows& rows_of(const model::SiteInput& in) {
    QUAROT_CHECK(!in.outliers && std::holds_alternative<Rows>(in.main.rows));
    return std::get<Rows>(in.main.rows);
}

}  // namespace

WindowWalk::WindowWalk(const model::Weights& weights, kernels::Backend& backend,
                       Selection selection)
    : weights_(weights),
      backend_(backend),
      selection_(std::move(selection)),
      comm_(std::move(backend.join({}).front())),
      kv_(backend.make_kv_store(weights.kv_descriptor(), size_of_window(weights).pages)),
      memory_(weights, size_of_window(weights), backend) {
    QUAROT_CHECK(!selection_.layers.empty());
    ungained_ = memory_.normed;
    ungained_memory_ =
        backend.allocate(ungained_.rows * ungained_.stride * quarot::size_of(ungained_.dtype));
    ungained_.data = ungained_memory_.data();
}

void WindowWalk::run(std::span<const int32_t> ids, const std::function<void(const Look&)>& look) {
    QUAROT_CHECK(!ids.empty() && std::ssize(ids) <= weights_.n_positions, "{}", ids.size());
    look_ = &look;
    n_tokens_ = std::ssize(ids);
    const model::Batch batch = one_sequence(ids, kv_->descriptor().page_tokens);
    const kernels::BatchView view = memory_.upload(batch);
    model::LayerSteps steps(weights_, view, *kv_, backend_, *comm_, memory_);
    model::Residual residual = {memory_.residual.slice(0, n_tokens_), {}};
    steps.embed(residual);
    for (int64_t layer = 0; layer <= selection_.layers.back(); ++layer) {
        throw_if_interrupted();
        run_layer(layer, steps, residual);
        check_finite(batch);
    }
}

void WindowWalk::run_layer(int64_t layer, model::LayerSteps& steps, model::Residual& residual) {
    const bool parallel = weights_.config.parallel;
    if (parallel) run_mlp_input(layer, steps, residual);
    const model::SiteInput attention_in = steps.attention_input(layer, residual);
    look_at_norm(layer, Point::AttentionIn, attention_in, residual);
    const Rows attended = memory_.attended.slice(0, n_tokens_);
    steps.attention(layer, attention_in, attended);
    look_at_cache(layer, Point::Key, kernels::KvKind::Key);
    look_at_cache(layer, Point::Value, kernels::KvKind::Value);
    const model::SiteInput output_in = steps.output_input(layer, attended);
    look_at(layer, Point::OutputIn, output_in);
    steps.add_linear(layer, LinearRole::O, output_in, residual);
    if (parallel) {
        steps.settle(residual);
    } else {
        run_mlp_input(layer, steps, residual);
    }
    const model::SiteInput down_in = steps.down_input(layer);
    look_at(layer, Point::DownIn, down_in);
    steps.add_linear(layer, LinearRole::Down, down_in, residual);
}

void WindowWalk::run_mlp_input(int64_t layer, model::LayerSteps& steps, model::Residual& residual) {
    const model::SiteInput mlp_in = steps.mlp_input(layer, residual);
    look_at_norm(layer, Point::MlpIn, mlp_in, residual);
    steps.gate_and_up(layer, mlp_in);
}

void WindowWalk::look_at_norm(int64_t layer, Point point, const model::SiteInput& in,
                              const model::Residual& residual) {
    if (!selection_.wants(layer, point)) return;
    QUAROT_CHECK(!residual.partial);
    const Rows ungained = ungained_.slice(0, n_tokens_);
    backend_.norm({.in = residual.values,
                   .kind = weights_.config.norm,
                   .eps = static_cast<float>(weights_.config.norm_eps),
                   .out = ungained});
    const std::vector<float> read = download(rows_of(in)), before_gain = download(ungained);
    (*look_)({layer, point, read, before_gain});
}

void WindowWalk::look_at(int64_t layer, Point point, const model::SiteInput& in) {
    if (!selection_.wants(layer, point)) return;
    const std::vector<float> read = download(rows_of(in));
    (*look_)({layer, point, read, read});
}

void WindowWalk::look_at_cache(int64_t layer, Point point, kernels::KvKind kind) {
    if (!selection_.wants(layer, point)) return;
    backend_.synchronize();
    const kernels::KvDescriptor& descriptor = kv_->descriptor();
    std::vector<float> values;
    values.reserve(static_cast<size_t>(n_tokens_ * weights_.config.kv_dim()));
    for (int64_t t = 0; t < n_tokens_; ++t) {
        for (int64_t head = 0; head < descriptor.n_kv_heads; ++head) {
            const auto entry = kv_->read(kind, layer, t / descriptor.page_tokens,
                                         t % descriptor.page_tokens, head);
            values.insert(values.end(), entry.values.begin(), entry.values.end());
        }
    }
    (*look_)({layer, point, values, values});
}

std::vector<float> WindowWalk::download(const Rows& rows) {
    const int64_t width = rows.cols * quarot::size_of(rows.dtype);
    std::vector<std::byte> stored(static_cast<size_t>(rows.rows * width));
    for (int64_t row = 0; row < rows.rows; ++row) {
        backend_.download(stored.data() + row * width, rows.at(row), width);
    }
    backend_.synchronize();
    std::vector<float> values(static_cast<size_t>(rows.rows * rows.cols));
    widen(rows.dtype, stored.data(), values);
    return values;
}

void WindowWalk::check_finite(const model::Batch& batch) {
    const auto failures = model::finish_step(batch, memory_);
    if (failures.empty()) return;
    fail(ErrorCode::Numeric, "{}: NaN or Inf {}", weights_.name,
         model::describe(failures.front().site));
}

}  // namespace quarot::stats
