#include "quantize/calibration/expert_calibration.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "core/check.h"
#include "core/error.h"
#include "core/process.h"

namespace quarot::quantize {
namespace {

using kernels::Rows;
using model::InputSite;
using model::LinearRole;

constexpr int64_t kExpertLayer = 0;  // the only one of weights_

int64_t piece_tokens(const model::Weights& weights) {
    return weights.n_positions;
}

// Tokens of windows without attention, each as the sequence that a window of so many tokens is.
model::Batch batch_of(std::span<const int32_t> tokens, int64_t window_tokens) {
    const int64_t n_tokens = std::ssize(tokens);
    model::Batch batch;
    batch.token_ids.assign(static_cast<size_t>(n_tokens), 0);
    for (const int32_t token : tokens) {
        batch.positions.push_back(static_cast<int32_t>(token % window_tokens));
    }
    batch.first_token.push_back(static_cast<int32_t>(n_tokens));
    batch.context_lengths.push_back(static_cast<int32_t>(n_tokens));
    batch.first_page.push_back(0);
    return batch;
}

template <typename T>
std::vector<T> downloaded(const T* from, int64_t n, kernels::Backend& backend) {
    std::vector<T> values(static_cast<size_t>(n));
    backend.download(values.data(), from, n * static_cast<int64_t>(sizeof(T)));
    backend.synchronize();
    return values;
}

}  // namespace

ExpertCalibration::ExpertCalibration(model::Weights weights, const model::Mixture& mixture,
                                     kernels::KvStore& kv, kernels::Backend& backend,
                                     comm::Comm& comm)
    : weights_(std::move(weights)),
      mixture_(mixture),
      kv_(kv),
      backend_(backend),
      comm_(comm),
      memory_(weights_, {.tokens = piece_tokens(weights_)}, backend),
      indices_(backend.allocate(piece_tokens(weights_) * int64_t{sizeof(int32_t)})),
      logits_memory_(
          backend.allocate(piece_tokens(weights_) * mixture.n_experts * size_of(DType::F32))),
      routing_memory_(backend.allocate(
          kernels::routing_bytes(piece_tokens(weights_), mixture.top_k, mixture.n_experts))) {
    QUAROT_CHECK(!weights_.config.shapes_outputs(), "norms and scales act on sums of experts");
}

void ExpertCalibration::set_norm(const std::vector<float>& gain, const std::vector<float>& bias) {
    weights_.layers[kExpertLayer].norms[static_cast<size_t>(model::NormRole::MlpIn)] =
        model::upload_norm(gain, bias, backend_);
}

void ExpertCalibration::set_router(kernels::LinearWeights weights) {
    weights_.set_linear({LinearRole::Router, kExpertLayer}, std::move(weights), backend_);
}

void ExpertCalibration::set_linear(LinearRole role, kernels::LinearWeights weights) {
    weights_.set_linear({role, kExpertLayer}, std::move(weights), backend_);
}

void ExpertCalibration::begin(const Rows& residual, int64_t layer) {
    QUAROT_CHECK(!has_begun_, "layer {}", layer);
    has_begun_ = true;
    layer_ = layer;
    residual_ = residual;
    all_tokens_.resize(static_cast<size_t>(residual.rows));
    std::iota(all_tokens_.begin(), all_tokens_.end(), 0);
    routed_.assign(static_cast<size_t>(mixture_.n_experts), {});
    sums_.assign(static_cast<size_t>(residual.rows * residual.cols), 0.0f);
    for_pieces(all_tokens_, [&](model::LayerSteps&, model::Residual& piece,
                                std::span<const int32_t> tokens) { route(piece, tokens); });
}

void ExpertCalibration::route(model::Residual& residual, std::span<const int32_t> tokens) {
    const model::LayerWeights& layer = weights_.layers[kExpertLayer];
    const int64_t n = residual.values.rows;
    const Rows normed = memory_.normed.slice(0, n);
    const model::NormWeights& norm = layer.norm(model::NormRole::MlpIn);
    backend_.norm({.in = residual.values,
                   .kind = weights_.config.norm,
                   .gain = norm.gain(),
                   .bias = norm.bias(),
                   .eps = static_cast<float>(weights_.config.norm_eps),
                   .out = normed});
    const Rows logits = {logits_memory_.data(), DType::F32, n, mixture_.n_experts,
                         mixture_.n_experts};
    backend_.linear({.in = kernels::Operand{normed},
                     .weight = layer.linear(LinearRole::Router),
                     .out = logits});
    backend_.find_non_finite(logits, {model::router_site(kExpertLayer), memory_.device.bad_sites});
    const kernels::Routing routing =
        kernels::place_routing(routing_memory_.data(), n, mixture_.top_k, mixture_.n_experts);
    backend_.route(
        {.logits = logits, .renormalize = mixture_.renormalize, .routing = routing, .note = {}});
    const auto experts = downloaded(routing.experts, routing.n_rows(), backend_);
    const auto weights = downloaded(routing.weights, routing.n_rows(), backend_);
    for (size_t i = 0; i < experts.size(); ++i) {
        Routed& routed = routed_[static_cast<size_t>(experts[i])];
        routed.tokens.push_back(tokens[i / static_cast<size_t>(mixture_.top_k)]);
        routed.weights.push_back(weights[i]);
    }
}

std::span<const int32_t> ExpertCalibration::tokens_of(int64_t expert, ExpertTokens which) const {
    if (which == ExpertTokens::All) return all_tokens_;
    return routed_[static_cast<size_t>(expert)].tokens;
}

int64_t ExpertCalibration::n_tokens(int64_t expert, ExpertTokens which) const {
    return std::ssize(tokens_of(expert, which));
}

void ExpertCalibration::for_inputs(InputSite site, int64_t expert, ExpertTokens which,
                                   const Visit& visit) {
    for_pieces(tokens_of(expert, which),
               [&](model::LayerSteps& steps, model::Residual& residual, std::span<const int32_t>) {
                   const model::SiteInput in = steps.mlp_input(kExpertLayer, residual);
                   if (site == InputSite::Mlp) return visit(in.main);
                   steps.gate_and_up(kExpertLayer, in);
                   visit(steps.down_input(kExpertLayer).main);
               });
}

void ExpertCalibration::add(int64_t expert) {
    const Routed& routed = routed_[static_cast<size_t>(expert)];
    const float* weight = routed.weights.data();
    const int64_t cols = residual_.cols;
    for_pieces(routed.tokens, [&](model::LayerSteps& steps, model::Residual& residual,
                                  std::span<const int32_t> tokens) {
        steps.gate_and_up(kExpertLayer, steps.mlp_input(kExpertLayer, residual));
        steps.add_linear(kExpertLayer, LinearRole::Down, steps.down_input(kExpertLayer), residual);
        for (size_t i = 0; i < tokens.size(); ++i, ++weight) {
            const auto given =
                downloaded(residual.partial->f32(static_cast<int64_t>(i)), cols, backend_);
            float* sum = sums_.data() + tokens[i] * cols;
            for (int64_t c = 0; c < cols; ++c) {
                const float product = *weight * given[static_cast<size_t>(c)];
                sum[c] += product;
            }
        }
    });
    for (const LinearRole role : {LinearRole::Gate, LinearRole::Up, LinearRole::Down}) {
        weights_.layers[kExpertLayer].linears[static_cast<size_t>(role)].reset();
    }
}

void ExpertCalibration::finish(const Rows& residual) {
    QUAROT_CHECK(has_begun_ && residual.rows == residual_.rows);
    for (int64_t first = 0; first < residual.rows; first += piece_tokens(weights_)) {
        const int64_t n = std::min(piece_tokens(weights_), residual.rows - first);
        const Rows partial = memory_.partial.slice(0, n);
        for (int64_t row = 0; row < n; ++row) {
            backend_.upload(partial.f32(row), sums_.data() + (first + row) * residual.cols,
                            residual.cols * size_of(DType::F32));
        }
        backend_.add(residual.slice(first, n), partial);
        backend_.synchronize();
    }
    weights_.layers[kExpertLayer] = {};
    has_begun_ = false;
}

template <typename Run>
void ExpertCalibration::for_pieces(std::span<const int32_t> tokens, const Run& run) {
    const auto most = static_cast<size_t>(piece_tokens(weights_));
    for (size_t first = 0; first < tokens.size(); first += most) {
        throw_if_interrupted();
        const auto piece = tokens.subspan(first, std::min(most, tokens.size() - first));
        const int64_t n = std::ssize(piece);
        const kernels::BatchView batch = memory_.upload(batch_of(piece, weights_.n_positions));
        backend_.upload(indices_.data(), piece.data(), n * int64_t{sizeof(int32_t)});
        model::Residual residual = {memory_.residual.slice(0, n), {}};
        backend_.gather_rows(residual_, static_cast<const int32_t*>(indices_.data()),
                             residual.values);
        model::LayerSteps steps(weights_, batch, kv_, backend_, comm_, memory_);
        run(steps, residual, piece);
        check_finite();
    }
}

void ExpertCalibration::check_finite() {
    const std::span<const kernels::Site> sites = memory_.wait().tokens;
    const kernels::Site site = *std::min_element(sites.begin(), sites.end());
    if (site == kernels::kNoSite) return;
    fail(ErrorCode::Numeric, "{}: NaN or Inf {}", weights_.name, model::describe(site, layer_));
}

}  // namespace quarot::quantize
