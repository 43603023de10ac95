#include "quantize/layer_quantizer.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <numeric>
#include <utility>

#include "core/check.h"
#include "core/error.h"
#include "core/log.h"
#include "folder/stored_linear.h"
#include "folder/stored_names.h"
#include "model/role_formats.h"
#include "quantize/calibration/column_maxima.h"
#include "quantize/finished_layer.h"
#include "quantize/options.h"
#include "quantize/outer_matrices.h"
#include "quantize/quantized_tensors.h"
#include "quantize/rounding/quantizer.h"
#include "tensor/float_convert.h"

namespace quarot::quantize {
namespace {

using model::InputSite;
using model::LinearId;
using model::LinearRole;
using model::NormRole;

Tensor tensor_of(const std::vector<int32_t>& columns) {
    Tensor tensor(DType::I32, {std::ssize(columns)});
    std::copy(columns.begin(), columns.end(), tensor.as<int32_t>());
    return tensor;
}

Tensor tensor_of(float value) {
    Tensor tensor(DType::F32, {1});
    *tensor.as<float>() = value;
    return tensor;
}

std::string describe(const model::SiteRule& site, int64_t layer) {
    if (site.expert < 0) return fmt::format("layer {}, {}", layer, site.name);
    return fmt::format("layer {}, expert {}, {}", layer, site.expert, site.name);
}

void tell_of_refused_refits(int64_t layer, const std::vector<QuantizedLayerReport>& reports) {
    std::string names;
    for (const QuantizedLayerReport& report : reports) {
        if (report.refit != 0.0) continue;
        names.append(names.empty() ? "" : ", ").append(report.name);
    }
    if (names.empty()) return;
    log_info(
        "layer {}: on the windows held out refitted weights are worse than the stored ones of {}; "
        "these are rounded as they are",
        layer, names);
}

void warn_of_rare_experts(int64_t layer, const std::vector<QuantizedLayerReport>& reports) {
    const auto is_rare = [](const auto& report) { return report.of_all_tokens; };
    const auto n = std::count_if(reports.begin(), reports.end(), is_rare);
    if (n == 0) return;
    const auto first = std::find_if(reports.begin(), reports.end(), is_rare);
    log_warning(
        "layer {}: {} linears of experts were reached by fewer tokens than they have inputs, the "
        "first of them {} by {}; they are calibrated on all tokens of the layer",
        layer, n, first->name, first->tokens.value_or(0));
}

}  // namespace

RotatedWeight QuantizeContext::rotated(const LinearId& id) const {
    WeightSource weight = linear_source(source, id, recipe, rotation);
    const model::NormRole norm = rule_of(id, source.config()).folded_norm;
    const std::span<const double> scales = smoothing.of(norm, id.layer);
    if (!scales.empty()) weight.gain.assign(scales.begin(), scales.end());
    return {std::move(weight), rotation, source.config(), pool};
}

std::vector<float> QuantizeContext::norm_gain(NormRole role, int64_t layer) const {
    std::vector<float> gain = source.norm_gain(role, layer);
    if (folds(recipe, source.config(), role)) gain.assign(gain.size(), 1.0f);
    const std::span<const double> scales = smoothing.of(role, layer);
    for (size_t i = 0; i < scales.size(); ++i) {
        gain[i] = static_cast<float>(static_cast<double>(gain[i]) / scales[i]);
    }
    return gain;
}

std::vector<float> QuantizeContext::norm_bias(NormRole role, int64_t layer) const {
    if (!model::has_bias(role, plan.config)) return {};
    std::vector<float> bias = source.norm_bias(role, layer);
    const std::span<const double> scales = smoothing.of(role, layer);
    for (size_t i = 0; i < scales.size(); ++i) {
        bias[i] = static_cast<float>(static_cast<double>(bias[i]) / scales[i]);
    }
    return bias;
}

std::vector<float> QuantizeContext::bias(const LinearId& id) const {
    if (!has_bias(id.role, plan.config)) return {};
    const std::vector<float> stored = source.bias(id);
    std::vector<double> bias(stored.begin(), stored.end());
    bias.resize(static_cast<size_t>(out_features(id.role, source.config())));
    if (folds_means(recipe, source.config())) {
        add_norm_bias(id, bias);
        if (model::writes_residual(id.role)) rotate::centre_columns(bias, 1);
    }
    if (rotation.balances_up && id.role == LinearRole::Up) {
        const std::vector<double>& scales = rotation.up_scales.at(static_cast<size_t>(id.layer));
        for (size_t i = 0; i < bias.size(); ++i) bias[i] *= scales[i];
    }
    rotate::rotate_output(rotation, {rule_of(id, source.config()).output, id.layer},
                          source.config(), bias, 1);
    return {bias.begin(), bias.end()};
}

void QuantizeContext::add_norm_bias(const LinearId& id, std::vector<double>& bias) const {
    const model::ModelConfig& config = source.config();
    const NormRole norm = rule_of(id.role, config).folded_norm;
    if (norm == NormRole::None || !config.norm_bias) return;
    const std::vector<float> of_norm = source.norm_bias(norm, id.layer);
    const int64_t rows = std::ssize(bias), cols = std::ssize(of_norm);
    const int64_t step = std::max<int64_t>(kBlockElements / cols, 1);
    pool.parallel_for(ceil_div(rows, step), [&](int64_t block, int) {
        const int64_t first = block * step, n = std::min(step, rows - first);
        const Tensor w = source.dense_rows(id, first, n);
        for (int64_t r = 0; r < n; ++r) {
            const float* row = w.as<float>() + r * cols;
            bias[static_cast<size_t>(first + r)] +=
                std::inner_product(row, row + cols, of_norm.begin(), 0.0, std::plus<>(),
                                   [](double a, double b) { return a * b; });
        }
    });
}

std::vector<float> QuantizeContext::position_rows(int64_t n_tokens) const {
    const RotatedWeight table = rotated({LinearRole::Positions});
    const int64_t first = source.config().position_offset, cols = table.cols();
    std::vector<float> rows(static_cast<size_t>(n_tokens * cols));
    for (int64_t block = 0; block < table.n_blocks(); ++block) {
        std::vector<float> made = table.block(block);
        round_as_stored(*this, LinearRole::Positions, made);
        const int64_t start = block * table.block_rows();
        for (int64_t r = 0; r < std::ssize(made) / cols; ++r) {
            const int64_t token = start + r - first;
            if (token < 0 || token >= n_tokens) continue;
            std::copy_n(made.begin() + r * cols, cols, rows.begin() + token * cols);
        }
    }
    return rows;
}

LayerQuantizer::LayerQuantizer(const QuantizeContext& context, TokenWindows windows,
                               kernels::Backend* backend)
    : context_(context), backend_(backend) {
    if (backend == nullptr) return;
    const folder::SourceModel& source = context.source;
    const int64_t n_tokens = windows.empty() ? 0 : std::ssize(windows.front());
    if (refits_weights(context.recipe)) {
        Recipe exact = context.recipe;
        exact.calibration.activations = CalibrationActivations::Full;
        exact_.emplace(context.plan.config, exact, source.folder(), windows, *backend);
        exact_->embed(context.rotated({LinearRole::Embedding}), [](std::span<float>) {});
    }
    calibration_.emplace(context.plan.config, context.recipe, source.folder(), std::move(windows),
                         *backend);
    calibration_->embed(context.rotated({LinearRole::Embedding}), [&](std::span<float> rows) {
        round_as_stored(context, LinearRole::Embedding, rows);
    });
    if (source.config().learned_positions > 0) {
        const std::vector<float> rows = context.position_rows(n_tokens);
        calibration_->add_positions(rows);
        if (exact_) exact_->add_positions(rows);
    }
}

std::vector<QuantizedLayerReport> LayerQuantizer::quantize(int64_t layer, const TensorSink& put,
                                                           Progress& progress) {
    begin_layer(layer);
    std::vector<QuantizedLayerReport> reports;
    for (const model::SiteRule& site : sites_of(context_.source.config(), layer)) {
        for (QuantizedLayerReport& report : quantize_site(site, layer, put, progress)) {
            reports.push_back(std::move(report));
        }
        leave_site(site);
    }
    if (calibration_) calibration_->finish_layer();
    if (exact_) exact_->finish_layer();
    tell_of_refused_refits(layer, reports);
    warn_of_rare_experts(layer, reports);
    return reports;
}

void LayerQuantizer::pass(int64_t layer, const FinishedLayer& finished) {
    if (!calibration_) return;
    begin_layer(layer);
    for (const model::SiteRule& site : sites_of(context_.source.config(), layer)) {
        pass_site(site, layer, finished);
        leave_site(site);
    }
    calibration_->finish_layer();
    if (exact_) exact_->finish_layer();
}

void LayerQuantizer::walk(int64_t layer,
                          const std::function<void(const model::SiteRule&, Calibration&)>& visit) {
    QUAROT_CHECK(calibration_.has_value());
    begin_layer(layer);
    for (const model::SiteRule& site : sites_of(context_.source.config(), layer)) {
        visit(site, *calibration_);
        for (const LinearRole role : site.roles) set_dense(site.linear(role, layer));
        leave_site(site);
    }
    calibration_->finish_layer();
}

void LayerQuantizer::pass_site(const model::SiteRule& site, int64_t layer,
                               const FinishedLayer& finished) {
    const model::ModelConfig& config = context_.source.config();
    const Recipe& recipe = context_.recipe;
    if (recipe.clip_search) {
        const LinearId first = site.first(layer);
        calibration_->set_clip(
            site.site, holds_clip(recipe, first.role)
                           ? input_clip_from(finished.tensors_of(first), folder::linear_name(first))
                           : recipe.activations.clip);
    }
    for (const LinearRole role : site.roles) {
        const LinearId id = site.linear(role, layer);
        const std::string name = folder::linear_name(id);
        const WeightFormat format = weight_format(recipe, role);
        if (exact_) set_exact(id);
        if (format.bits == 16) {
            set_dense(id);
            continue;
        }
        const std::vector<NamedTensor> tensors = finished.tensors_of(id);
        const int64_t rows = out_features(id, config), cols = in_features(id, config);
        const int64_t n_apart = n_outliers(recipe, role, config);
        set_quantized(id, matrix_from(tensors, name, rows, cols - n_apart, format));
        if (has_column_order(recipe, role) && role == site.roles.front()) {
            calibration_->set_columns(site.site, column_order_from(tensors, name, cols), n_apart);
        }
        if (n_apart == 0) continue;
        const WeightFormat outliers = outlier_weight_format(recipe);
        calibration_->set_outliers(
            role, linear_weights(outliers_from(tensors, name, rows, n_apart, outliers)));
    }
}

void LayerQuantizer::leave_site(const model::SiteRule& site) {
    const bool ends_expert = site.expert >= 0 && site.site == InputSite::Down;
    if (calibration_ && ends_expert) calibration_->finish_expert(site.expert);
}

ExpertHessian LayerQuantizer::hessian_of(const model::SiteRule& site) {
    if (!calibration_) return {};
    if (site.expert >= 0) return calibration_->hessian_of(site.expert, site.site);
    return {.hessian = calibration_->hessian(site.site)};
}

std::vector<QuantizedLayerReport> LayerQuantizer::quantize_site(const model::SiteRule& site,
                                                                int64_t layer,
                                                                const TensorSink& put,
                                                                Progress& progress) {
    const Recipe& recipe = context_.recipe;
    const WeightFormat format = weight_format(recipe, site.roles.front());
    const std::optional<float> clip = find_clip(site, layer);
    if (format.bits == 16) {
        for (const LinearRole role : site.roles) {
            set_dense(site.linear(role, layer));
            if (exact_) set_exact(site.linear(role, layer));
            progress.advance();
        }
        return {};
    }
    const int64_t cols = in_features(site.first(layer), context_.source.config());
    std::optional<TargetRefit> refit;
    if (exact_) {
        refit.emplace(describe(site, layer),
                      moments_of(*calibration_, *exact_, site.site, *backend_), format.damp,
                      context_.pool);
    }
    ExpertHessian gathered =
        refit ? ExpertHessian{.hessian = refit->take_hessian()} : hessian_of(site);
    Hessian hessian = std::move(gathered.hessian);
    const ColumnOrder columns = column_order(site, hessian.diagonal());
    if (!columns.empty()) {
        QUAROT_CHECK(calibration_.has_value());
        hessian.reorder(columns);
        calibration_->set_columns(site.site, columns.columns, columns.n_outliers);
    }
    const auto prepared = quantizer_named(format.method)
                              .prepare({.site = describe(site, layer),
                                        .n_cols = cols,
                                        .n_codes = cols - columns.n_outliers,
                                        .hessian = hessian.on_host(),
                                        .device_hessian = hessian.on_device()},
                                       format, context_.pool);
    std::optional<HessianError> error;
    if (calibration_) error.emplace(hessian, *backend_, context_.pool);
    hessian = {};
    std::vector<QuantizedLayerReport> reports;
    for (const LinearRole role : site.roles) {
        const LinearId id = site.linear(role, layer);
        const std::string name = folder::linear_name(id);
        HessianError* const weighing = error ? &*error : nullptr;
        QuantizedLinear linear =
            refit ? quantize_refitted(id, *refit, *prepared, format, weighing)
                  : quantize_linear(name, rows_of(context_.rotated(id)), *prepared, format, columns,
                                    weighing, context_.pool);
        if (calibration_) set_quantized(id, copy_of(linear.matrix));
        std::vector<NamedTensor> tensors;
        append_tensors(name, std::move(linear.matrix), tensors);
        if (!columns.empty()) {
            tensors.push_back(
                {folder::QuantizedNames(name).column_order, tensor_of(columns.columns)});
        }
        if (linear.outliers) {
            if (calibration_) calibration_->set_outliers(role, linear_weights(*linear.outliers));
            append_outliers(name, std::move(*linear.outliers), tensors);
        }
        if (clip && role == site.roles.front()) {
            tensors.push_back({folder::QuantizedNames(name).input_clip, tensor_of(*clip)});
            linear.report.input_clip = *clip;
            linear.report.bytes += size_of(DType::F32);
        }
        for (const NamedTensor& tensor : tensors) put(tensor);
        if (calibration_ && site.expert >= 0) {
            linear.report.tokens = gathered.n_routed;
            linear.report.of_all_tokens = gathered.of_all_tokens;
        }
        reports.push_back(std::move(linear.report));
        progress.advance();
    }
    return reports;
}

QuantizedLinear LayerQuantizer::quantize_refitted(const LinearId& id, const TargetRefit& refit,
                                                  const PreparedQuantizer& prepared,
                                                  const WeightFormat& format, HessianError* error) {
    const std::shared_ptr<const Tensor> exact = set_exact(id);
    const int64_t rows = exact->rows(), cols = exact->cols();
    const std::span values(exact->as<float>(), static_cast<size_t>(rows * cols));
    const std::vector<float> moves = refit.moves_of({values, rows, cols});
    const double share = std::min(refit.share_for({values, rows, cols}, moves), format.refit_share);
    const int64_t block_rows = std::max(kBlockElements / cols, int64_t{1});
    const WeightRows targets = {
        rows, cols, block_rows, [&](int64_t index) {
            const int64_t first = index * block_rows * cols;
            std::vector<float> target(
                static_cast<size_t>(std::min(block_rows * cols, rows * cols - first)));
            for (size_t i = 0; i < target.size(); ++i) {
                const size_t at = static_cast<size_t>(first) + i;
                target[i] = static_cast<float>(values[at] + share * moves[at]);
            }
            return target;
        }};
    QuantizedLinear linear = quantize_linear(folder::linear_name(id), targets, prepared, format, {},
                                             error, context_.pool);
    linear.report.refit = share;
    return linear;
}

std::optional<float> LayerQuantizer::find_clip(const model::SiteRule& site, int64_t layer) {
    const Recipe& recipe = context_.recipe;
    if (!recipe.clip_search) return {};
    if (!holds_clip(recipe, site.roles.front())) {
        calibration_->set_clip(site.site, recipe.activations.clip);
        return {};
    }
    std::vector<kernels::LinearWeights> weights;
    for (const LinearRole role : site.roles) {
        weights.push_back(dense(site.linear(role, layer)));
        weights.back().bias.clear();
    }
    const float clip = calibration_->search_clip(site.site, std::move(weights));
    calibration_->set_clip(site.site, clip);
    return clip;
}

ColumnOrder LayerQuantizer::column_order(const model::SiteRule& site,
                                         std::span<const double> diagonal) {
    const Recipe& recipe = context_.recipe;
    const LinearRole role = site.roles.front();
    if (!has_column_order(recipe, role)) return {};
    QUAROT_CHECK(calibration_.has_value(), "columns are chosen on text");
    const model::ModelConfig& config = context_.source.config();
    std::vector<double> measures(diagonal.begin(), diagonal.end());
    if (recipe.outliers.measure != OutlierMeasure::Energy) {
        std::vector<float> maxima(measures.size());
        calibration_->for_inputs(site.site, [&](const kernels::Rows& inputs) {
            raise_column_maxima(inputs, *backend_, maxima);
        });
        measures.assign(maxima.begin(), maxima.end());
    }
    ColumnOrder order;
    order.n_outliers = n_outliers(recipe, role, config);
    order.columns = order_columns(measures, order.n_outliers, recipe.outliers.sorted);
    order.outliers = outlier_weight_format(recipe);
    return order;
}

void LayerQuantizer::begin_layer(int64_t layer) {
    if (!calibration_) return;
    for (const NormRole role : norms_of(context_.source.config(), layer)) {
        const std::vector<float> gain = context_.norm_gain(role, layer);
        const std::vector<float> bias = context_.norm_bias(role, layer);
        calibration_->set_norm(role, gain, bias);
        if (exact_) exact_->set_norm(role, gain, bias);
    }
}

void LayerQuantizer::set_quantized(const LinearId& id, QuantizedMatrix matrix) {
    QUAROT_CHECK(calibration_.has_value());
    kernels::LinearWeights weights = {std::move(matrix), context_.bias(id)};
    if (calibration_->multiplies_halves(id.role)) {
        weights.matrix = in_halves(std::get<QuantizedMatrix>(weights.matrix), context_.pool);
    }
    calibration_->set_linear(id, std::move(weights));
}

// As the finished model stores it; in fp32 what it has in codes.
kernels::LinearWeights LayerQuantizer::dense(const LinearId& id) const {
    const RotatedWeight weight = context_.rotated(id);
    const auto planned = context_.plan.dtype_of.find(weight.name());
    const DType dtype = planned == context_.plan.dtype_of.end() ? DType::F32 : planned->second;
    auto stored = std::make_shared<Tensor>(dtype, Shape{weight.rows(), weight.cols()});
    for (int64_t block = 0; block < weight.n_blocks(); ++block) {
        const std::vector<float> rows = weight.block(block);
        narrow(dtype, rows,
               stored->data() + block * weight.block_rows() * weight.cols() * size_of(dtype));
    }
    return {std::shared_ptr<const Tensor>(std::move(stored)), context_.bias(id)};
}

void LayerQuantizer::set_dense(const LinearId& id) {
    if (calibration_) calibration_->set_linear(id, dense(id));
}

std::shared_ptr<const Tensor> LayerQuantizer::set_exact(const LinearId& id) {
    const RotatedWeight weight = context_.rotated(id);
    auto exact = std::make_shared<Tensor>(DType::F32, Shape{weight.rows(), weight.cols()});
    context_.pool.parallel_for(weight.n_blocks(), [&](int64_t block, int) {
        const std::vector<float> rows = weight.block(block);
        std::copy(rows.begin(), rows.end(),
                  exact->as<float>() + block * weight.block_rows() * weight.cols());
    });
    const std::shared_ptr<const Tensor> shared = std::move(exact);
    exact_->set_linear(id, {shared, context_.bias(id)});
    return shared;
}

}  // namespace quarot::quantize
