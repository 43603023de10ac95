#include "quantize/calibration/calibration.h"

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <utility>

#include "core/check.h"
#include "core/process.h"
#include "model/head_rows.h"
#include "model/role_formats.h"
#include "quantize/calibration/activation_clip.h"
#include "tensor/float_convert.h"

namespace quarot::quantize {
namespace {

using kernels::Operand;
using kernels::Rows;
using model::InputSite;
using model::LinearRole;

constexpr int64_t kLayer = 0;  // the only one of weights_

// The model's, but of one layer and quantizing on the way only what calibration is to feel.
model::Weights one_layer(model::ModelConfig config, Recipe recipe, const std::string& name,
                         int64_t n_positions, kernels::Backend& backend) {
    config.n_layers = 1;
    for (model::LayerConfig& layer : config.layers) layer.mixture = false;  // experts stand apart
    if (recipe.calibration.activations == CalibrationActivations::Full) {
        recipe.activations.bits = 16;
        recipe.k.bits = 16;
        recipe.v.bits = 16;
    }
    model::Weights weights = weights_frame(config, recipe, name, n_positions, backend);
    weights.layers.resize(1);
    return weights;
}

// A layer whose MLP is an expert's, without room for attention.
model::Weights one_expert(model::ModelConfig config, Recipe recipe, const std::string& name,
                          int64_t n_positions, kernels::Backend& backend) {
    config.ffn = config.mixture.ffn;
    config.n_heads = config.n_kv_heads = config.vocab = 1;
    config.layers.clear();
    recipe.rotation.head_mix = false;
    return one_layer(std::move(config), std::move(recipe), name, n_positions, backend);
}

// One sequence from an empty cache, its pages in order. Token ids are not used.
model::Batch one_window(int64_t n_tokens, int64_t page_tokens) {
    model::Batch batch;
    batch.token_ids.assign(static_cast<size_t>(n_tokens), 0);
    batch.positions.resize(static_cast<size_t>(n_tokens));
    std::iota(batch.positions.begin(), batch.positions.end(), 0);
    batch.first_token.push_back(static_cast<int32_t>(n_tokens));
    batch.context_lengths.push_back(static_cast<int32_t>(n_tokens));
    batch.pages.resize(static_cast<size_t>(ceil_div(n_tokens, page_tokens)));
    std::iota(batch.pages.begin(), batch.pages.end(), 0);
    batch.first_page.push_back(static_cast<int32_t>(batch.pages.size()));
    return batch;
}

model::StepSize one_window_size(const model::Weights& weights) {
    const int64_t page_tokens = weights.kv_descriptor().page_tokens;
    return {.tokens = weights.n_positions, .pages = ceil_div(weights.n_positions, page_tokens)};
}

Rows place_rows(kernels::Buffer& memory, int64_t n, int64_t cols, DType dtype,
                kernels::Backend& backend) {
    const int64_t stride = round_up(cols, 16);
    memory = backend.allocate(n * stride * size_of(dtype));
    return {memory.data(), dtype, n, cols, stride};
}

// Which tokens of the calibration text have each id: positions sorted by id.
std::vector<std::pair<int32_t, int64_t>> tokens_by_id(const TokenWindows& windows) {
    std::vector<std::pair<int32_t, int64_t>> tokens;
    int64_t position = 0;
    for (const auto& window : windows) {
        for (const int32_t id : window) tokens.emplace_back(id, position++);
    }
    std::sort(tokens.begin(), tokens.end());
    return tokens;
}

}  // namespace

Calibration::Calibration(const model::ModelConfig& config, const Recipe& recipe,
                         const std::string& name, TokenWindows windows, kernels::Backend& backend)
    : windows_(std::move(windows)),
      recipe_(recipe),
      backend_(backend),
      weights_(one_layer(config, recipe, name, std::ssize(windows_.at(0)), backend)),
      comm_(std::move(backend.join({}).front())),
      memory_(weights_, one_window_size(weights_), backend),
      layers_(config.layers) {
    enter_layer();
    const int64_t seqlen = weights_.n_positions;
    const int64_t n_tokens = seqlen * n_windows();
    for (const auto& window : windows_) {
        QUAROT_CHECK(std::ssize(window) == seqlen, "{} {}", window.size(), seqlen);
    }
    const kernels::KvDescriptor descriptor = weights_.kv_descriptor();
    kv_ = backend.make_kv_store(descriptor, ceil_div(seqlen, descriptor.page_tokens));
    batch_ = memory_.upload(one_window(seqlen, descriptor.page_tokens));
    steps_ = std::make_unique<model::LayerSteps>(weights_, batch_, *kv_, backend_, *comm_, memory_);
    if (config.has_mixtures()) {
        experts_ =
            std::make_unique<ExpertCalibration>(one_expert(config, recipe, name, seqlen, backend),
                                                config.mixture, *kv_, backend, *comm_);
    }
    const kernels::BackendTraits traits = backend.traits();
    QUAROT_CHECK(traits.residual == DType::F32, "the residual stream is filled in fp32");
    residual_ = place_rows(residual_memory_, n_tokens, config.hidden, traits.residual, backend);
    attended_ = place_rows(attended_memory_, n_tokens, config.q_dim(), traits.work, backend);
    const int64_t widest =
        std::max({config.hidden, config.q_dim(), config.ffn, config.mixture.ffn});
    floats_ = place_rows(floats_memory_, seqlen, widest, traits.work, backend);
}

void Calibration::embed(const RotatedWeight& embedding,
                        const std::function<void(std::span<float> rows)>& as_stored) {
    const auto tokens = tokens_by_id(windows_);
    const int64_t cols = embedding.cols();
    auto next = tokens.begin();
    for (int64_t block = 0; block < embedding.n_blocks() && next != tokens.end(); ++block) {
        const int64_t first = block * embedding.block_rows();
        const int64_t end = first + embedding.block_rows();
        if (next->first >= end) continue;
        throw_if_interrupted();
        std::vector<float> rows = embedding.block(block);
        as_stored(rows);
        for (; next != tokens.end() && next->first < end; ++next) {
            const float* row = rows.data() + (next->first - first) * cols;
            backend_.upload(residual_.f32(next->second), row, cols * size_of(DType::F32));
        }
    }
    QUAROT_CHECK(next == tokens.end(), "token {} has no row", next->first);
    for_windows([&](int64_t index) { steps_->enter(window(residual_, index)); });
}

void Calibration::add_positions(std::span<const float> rows) {
    const model::ModelConfig& config = weights_.config;
    kernels::Buffer memory;
    const Rows positions =
        place_rows(memory, weights_.n_positions, config.hidden, DType::F32, backend_);
    for (int64_t row = 0; row < positions.rows; ++row) {
        backend_.upload(positions.f32(row), rows.data() + row * config.hidden,
                        config.hidden * size_of(DType::F32));
    }
    for_windows([&](int64_t index) { backend_.add(window(residual_, index), positions); });
    backend_.synchronize();
}

void Calibration::set_norm(model::NormRole role, const std::vector<float>& gain,
                           const std::vector<float>& bias) {
    std::vector<float> ordered = gain;
    order_head_gain(role, weights_.config, ordered);
    weights_.layers[kLayer].norms[static_cast<size_t>(role)] =
        model::upload_norm(ordered, bias, backend_);
    if (experts_ && role == model::NormRole::MlpIn) experts_->set_norm(gain, bias);
}

void Calibration::set_linear(const model::LinearId& id, kernels::LinearWeights weights) {
    if (id.role == LinearRole::Router) {
        experts_->set_router(std::move(weights));
    } else if (id.expert >= 0) {
        experts_->set_linear(id.role, std::move(weights));
    } else {
        weights_.set_linear({id.role, kLayer}, std::move(weights), backend_);
    }
}

bool Calibration::multiplies_halves(LinearRole role) const {
    return backend_.traits().work == DType::F16 && weights_.activation_format(role).bits == 16;
}

void Calibration::set_columns(InputSite site, const std::vector<int32_t>& order,
                              int64_t n_outliers) {
    weights_.layers[kLayer].splits[static_cast<size_t>(site)] =
        model::upload_split(order, n_outliers, backend_);
}

void Calibration::set_outliers(LinearRole role, kernels::LinearWeights weights) {
    order_head_rows(role, weights_.config, weights);
    weights_.layers[kLayer].outliers[static_cast<size_t>(role)] =
        backend_.prepare_linear(std::move(weights));
}

void Calibration::for_inputs(InputSite site, const std::function<void(const Rows&)>& visit) {
    for_inputs(n_windows(), site, visit);
}

void Calibration::for_inputs(int64_t n_windows, InputSite site,
                             const std::function<void(const Rows&)>& visit) {
    reach(site);
    for_windows(n_windows, [&](int64_t index) { visit(inputs(site, index)); });
}

void Calibration::for_inputs_beside(Calibration& other, InputSite site, const VisitBoth& visit) {
    QUAROT_CHECK(&other.backend_ == &backend_ && other.n_windows() == n_windows());
    reach(site);
    other.reach(site);
    for_windows([&](int64_t index) {
        visit(index, inputs(site, index), other.inputs(site, index));
        other.check_finite();
    });
}

void Calibration::reach(InputSite site) {
    if (site != InputSite::Attention) attend();
    if (site == InputSite::Mlp || site == InputSite::Down) add_output();
}

Rows Calibration::inputs(InputSite site, int64_t index) {
    model::Residual residual = {window(residual_, index), {}};
    switch (site) {
        case InputSite::Attention:
            return floats(steps_->attention_input(kLayer, residual).main);
        case InputSite::Output:
            return window(attended_, index);
        case InputSite::Mlp:
            return floats(steps_->mlp_input(kLayer, residual).main);
        case InputSite::Down:
            break;
    }
    steps_->gate_and_up(kLayer, steps_->mlp_input(kLayer, residual));
    return floats(steps_->down_input(kLayer).main);
}

float Calibration::search_clip(InputSite site, std::vector<kernels::LinearWeights> weights) {
    constexpr int64_t kWindows = 4, kRows = 128;
    model::Weights finished;  // in formats alone
    finished.config = weights_.config;
    finished.recipe = recipe_;
    const auto format = finished.activation_format(model::rule_of(site).roles.front());
    if (format.bits == 16) return format.clip;
    std::vector<std::unique_ptr<kernels::Linear>> linears;
    for (kernels::LinearWeights& linear : weights) {
        linear.activation_group = format.corrected_group();
        linears.push_back(backend_.prepare_linear(std::move(linear)));
    }
    ActivationClip clip(std::move(linears), format, backend_);
    for_inputs(std::min(kWindows, n_windows()), site, [&](const Rows& inputs) {
        const int64_t n = std::min(kRows, inputs.rows);
        clip.add(inputs.slice(inputs.rows - n, n));  // no first positions
    });
    return clip.best();
}

void Calibration::set_clip(InputSite site, float clip) {
    weights_.layers[kLayer].clips[static_cast<size_t>(site)] = clip;
    own_bits(weights_.recipe.site_bits, site) = own_bits(recipe_.site_bits, site);
    if (site == InputSite::Output && stand_ != Stand::Start) quantize_attended();
}

void Calibration::quantize_attended() {
    for_windows([&](int64_t index) {
        const Rows attended = window(attended_, index);
        const Operand in = steps_->quantized(kLayer, LinearRole::O, attended);
        if (const auto* codes = std::get_if<kernels::QuantizedRows>(&in.rows)) {
            backend_.dequantize(*codes, attended);
        }
    });
}

Hessian Calibration::hessian(InputSite site) {
    const int64_t cols = in_features(model::rule_of(site).roles.front(), weights_.config);
    kernels::Buffer sums = zero_sums(cols, backend_);
    for_inputs(site, [&](const Rows& inputs) {
        backend_.accumulate_gram(inputs, static_cast<double*>(sums.data()));
    });
    return {std::move(sums), cols, residual_.rows, backend_};
}

ExpertHessian Calibration::hessian_of(int64_t expert, InputSite site) {
    const int64_t cols =
        site == InputSite::Down ? weights_.config.mixture.ffn : weights_.config.hidden;
    ExpertCalibration& of_layer = experts();
    ExpertHessian result;
    result.n_routed = of_layer.n_tokens(expert, ExpertTokens::Routed);
    result.of_all_tokens = result.n_routed < cols;
    const ExpertTokens which = result.of_all_tokens ? ExpertTokens::All : ExpertTokens::Routed;
    kernels::Buffer sums = zero_sums(cols, backend_);
    of_layer.for_inputs(site, expert, which, [&](const Operand& inputs) {
        backend_.accumulate_gram(floats(inputs), static_cast<double*>(sums.data()));
    });
    result.hessian = {std::move(sums), cols, of_layer.n_tokens(expert, which), backend_};
    return result;
}

void Calibration::finish_expert(int64_t expert) {
    experts().add(expert);
}

ExpertCalibration& Calibration::experts() {
    attend();
    add_output();
    QUAROT_CHECK(experts_ != nullptr);
    if (!experts_->has_begun()) experts_->begin(residual_, layer_);
    return *experts_;
}

void Calibration::finish_layer() {
    attend();
    add_output();
    if (experts_ && experts_->has_begun()) {
        experts_->finish(residual_);
    } else {
        run_mlp();
    }
    weights_.layers[kLayer] = {};
    stand_ = Stand::Start;
    ++layer_;
    enter_layer();
}

void Calibration::enter_layer() {
    if (recipe_.clip_search) {
        weights_.recipe.site_bits = {.attn_in = 16, .o_in = 16, .mlp_in = 16, .down_in = 16};
    }
    if (layers_.empty() || layer_ == std::ssize(layers_)) return;
    weights_.config.layers = {layers_[static_cast<size_t>(layer_)]};
    weights_.config.layers.front().mixture = false;
}

void Calibration::run_mlp() {
    for_windows([&](int64_t index) {
        model::Residual residual = {window(residual_, index), {}};
        steps_->gate_and_up(kLayer, steps_->mlp_input(kLayer, residual));
        if (stand_ == Stand::Attended) add_output_of(index, residual);  // of parallel blocks
        steps_->add_linear(kLayer, LinearRole::Down, steps_->down_input(kLayer), residual);
        steps_->settle(residual);
    });
}

// Fills attended_ with what o_proj reads.
void Calibration::attend() {
    if (stand_ != Stand::Start) return;
    for_windows([&](int64_t index) {
        const Rows attended = window(attended_, index);
        model::Residual residual = {window(residual_, index), {}};
        steps_->attention(kLayer, steps_->attention_input(kLayer, residual), attended);
        const model::SiteInput in = steps_->output_input(kLayer, attended);
        if (const auto* codes = std::get_if<kernels::QuantizedRows>(&in.main.rows)) {
            backend_.dequantize(*codes, attended);
        }
    });
    stand_ = Stand::Attended;
}

// In parallel blocks the MLP reads the stream before that, so finish_layer adds.
void Calibration::add_output() {
    if (stand_ != Stand::Attended || weights_.config.parallel) return;
    for_windows([&](int64_t index) {
        model::Residual residual = {window(residual_, index), {}};
        add_output_of(index, residual);
    });
    stand_ = Stand::Added;
}

void Calibration::add_output_of(int64_t index, model::Residual& residual) {
    const auto in = steps_->input_of(kLayer, InputSite::Output, window(attended_, index));
    steps_->add_linear(kLayer, LinearRole::O, in, residual);
    steps_->settle(residual);
}

template <typename Run>
void Calibration::for_windows(int64_t n, const Run& run) {
    for (int64_t index = 0; index < n; ++index) {
        throw_if_interrupted();
        run(index);
        check_finite();
    }
}

void Calibration::check_finite() {
    const std::span<const kernels::Site> sites = memory_.wait().tokens;
    const kernels::Site site = *std::min_element(sites.begin(), sites.end());
    if (site == kernels::kNoSite) return;
    fail(ErrorCode::Numeric, "{}: NaN or Inf {}", weights_.name, model::describe(site, layer_));
}

Rows Calibration::window(const Rows& all, int64_t index) const {
    return all.slice(index * weights_.n_positions, weights_.n_positions);
}

Rows Calibration::floats(const Operand& in) {
    if (const auto* rows = std::get_if<Rows>(&in.rows)) return *rows;
    const auto& codes = std::get<kernels::QuantizedRows>(in.rows);
    Rows room = floats_.slice(0, codes.rows);
    room.cols = codes.cols;
    backend_.dequantize(codes, room);
    return room;
}

}  // namespace quarot::quantize
