// The linears of the decoder's layers, one layer after another, on their way to codes.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "core/progress.h"
#include "core/thread_pool.h"
#include "folder/source_model.h"
#include "quantize/calibration/calibration.h"
#include "quantize/calibration/smoothing.h"
#include "quantize/job/layer_file.h"
#include "quantize/output_plan.h"
#include "quantize/quantized_linear.h"
#include "quantize/rounding/target_refit.h"
#include "rotate/rotation.h"

namespace quarot::quantize {

class FinishedLayer;

// Takes the tensors of quantized weights as they are made: what of a layer needs no second
// computation.
using TensorSink = std::function<void(const NamedTensor&)>;

// Everything that quantizing a model reads and none of its parts changes. All outlive their users.
struct QuantizeContext {
    const folder::SourceModel& source;
    const Recipe& recipe;
    const rotate::Rotation& rotation;
    const OutputPlan& plan;
    ThreadPool& pool;
    const Smoothing& smoothing;

    RotatedWeight rotated(const model::LinearId& id) const;
    // The norms of a layer as the finished model has them: ones if folded, smoothed; no bias where
    // it is folded or never was.
    std::vector<float> norm_gain(model::NormRole role, int64_t layer) const;
    std::vector<float> norm_bias(model::NormRole role, int64_t layer) const;
    // As the finished model has it: with the folded norm's, centred and rotated; empty if there is
    // none.
    std::vector<float> bias(const model::LinearId& id) const;
    // The learned positions that a text of n_tokens adds to its stream, [n_tokens, hidden].
    std::vector<float> position_rows(int64_t n_tokens) const;

  private:
    // bias += W b with the stored weight W and b the bias of the norm that it reads.
    void add_norm_bias(const model::LinearId& id, std::vector<double>& bias) const;
};

// Layers must come in order, from 0. Used by one thread.
class LayerQuantizer {
  public:
    // windows and backend: for methods that need calibration, else empty and null.
    LayerQuantizer(const QuantizeContext& context, TokenWindows windows, kernels::Backend* backend);

    // Of the quantized linears. progress: a step for each linear.
    std::vector<QuantizedLayerReport> quantize(int64_t layer, const TensorSink& put,
                                               Progress& progress);
    // For a layer that was quantized before: brings the calibration text behind it.
    void pass(int64_t layer, const FinishedLayer& finished);

    // Brings the calibration text behind a layer of which nothing is quantized. visit is called at
    // each site before its linears are there.
    void walk(int64_t layer,
              const std::function<void(const model::SiteRule&, Calibration&)>& visit);

  private:
    // Reports of the linears of a site that is quantized.
    std::vector<QuantizedLayerReport> quantize_site(const model::SiteRule& site, int64_t layer,
                                                    const TensorSink& put, Progress& progress);
    // What the linears of a site read on the text; of no columns without one.
    ExpertHessian hessian_of(const model::SiteRule& site);
    // Quantizes what the refit makes of a weight, which becomes that of the exact stream.
    QuantizedLinear quantize_refitted(const model::LinearId& id, const TargetRefit& refit,
                                      const PreparedQuantizer& prepared, const WeightFormat& format,
                                      HessianError* error);
    void pass_site(const model::SiteRule& site, int64_t layer, const FinishedLayer& finished);
    // When all linears of a site are set.
    void leave_site(const model::SiteRule& site);
    // From what stands there on the calibration text.
    ColumnOrder column_order(const model::SiteRule& site, std::span<const double> diagonal);
    // Where clip ratios are searched: gives the site the one for its inputs, which its first linear
    // is to hold, if it is quantized. Before anything else is asked about its inputs.
    std::optional<float> find_clip(const model::SiteRule& site, int64_t layer);
    // Puts a finished matrix into the calibration's layer.
    void set_quantized(const model::LinearId& id, QuantizedMatrix matrix);
    void set_dense(const model::LinearId& id);
    // Its rows in fp32, set in the exact stream.
    std::shared_ptr<const Tensor> set_exact(const model::LinearId& id);
    kernels::LinearWeights dense(const model::LinearId& id) const;
    void begin_layer(int64_t layer);

    const QuantizeContext& context_;
    kernels::Backend* backend_;
    std::optional<Calibration> calibration_;
    std::optional<Calibration> exact_;  // at full precision, of recipes that refit weights
};

}  // namespace quarot::quantize
