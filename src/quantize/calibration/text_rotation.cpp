#include "quantize/calibration/text_rotation.h"

#include <optional>
#include <vector>

#include "core/progress.h"
#include "quantize/layer_quantizer.h"
#include "rotate/aligned.h"

namespace quarot::quantize {
namespace {

using model::InputSite;

// The model as it is, but for norm gains and means that rotations want folded.
Recipe full_precision(const Recipe& recipe) {
    Recipe plain;
    plain.rotation.fold_norms = recipe.rotation.fold_norms;
    plain.storage = DType::F32;
    return plain;
}

// Sums of x x^T in the backend's memory.
class SecondMoment {
  public:
    SecondMoment(int64_t n, kernels::Backend& backend)
        : n_(n), backend_(backend), sums_(backend.allocate(bytes())) {
        const std::vector<double> zeros(static_cast<size_t>(n * n));
        backend.upload(sums_.data(), zeros.data(), bytes());
        backend.synchronize();
    }

    void add(const kernels::Rows& rows) {
        backend_.accumulate_gram(rows, static_cast<double*>(sums_.data()));
    }

    std::vector<double> values() const {
        std::vector<double> values(static_cast<size_t>(n_ * n_));
        backend_.download(values.data(), sums_.data(), bytes());
        backend_.synchronize();
        return values;
    }

  private:
    int64_t bytes() const { return n_ * n_ * static_cast<int64_t>(sizeof(double)); }

    int64_t n_;
    kernels::Backend& backend_;
    kernels::Buffer sums_;
};

bool reads_residual(const model::SiteRule& site) {
    return site.expert < 0 && (site.site == InputSite::Attention || site.site == InputSite::Mlp);
}

// Columns [first, first + n) of all rows.
kernels::Rows columns_of(const kernels::Rows& rows, int64_t first, int64_t n) {
    kernels::Rows some = rows;
    some.data = rows.at(0) + first * size_of(rows.dtype);
    some.cols = n;
    return some;
}

// One pass of the text, from the first layer to the last.
class RotationFinder {
  public:
    RotationFinder(const folder::SourceModel& source, const Recipe& recipe,
                   const TokenWindows& windows, ThreadPool& pool, kernels::Backend& backend)
        : config_(source.config()),
          recipe_(recipe),
          pool_(pool),
          backend_(backend),
          plain_(full_precision(recipe)),
          plan_(plan_output(source, none_, plain_, int64_t{1} << 40)),
          context_{source, plain_, none_, plan_, pool, unsmoothed_},
          layers_(context_, windows, &backend) {}

    void find(rotate::Rotation& rotation) {
        const bool aligned = recipe_.rotation.residual == ResidualRotation::Aligned;
        if (aligned) residual_.emplace(config_.hidden, backend_);
        Progress progress("looking at the text", config_.n_layers);
        for (int64_t layer = 0; layer < config_.n_layers; ++layer) {
            layers_.walk(layer, [&](const model::SiteRule& site, Calibration& text) {
                if (aligned && reads_residual(site)) look_at_residual(site, text);
                if (rotation.aligned_values && site.site == InputSite::Output) {
                    rotate::add_value_heads(rotation, value_heads(text));
                }
            });
            progress.advance();
        }
        if (!aligned) return;
        const int64_t group = recipe_.activations.group_size;
        rotate::set_residual(rotation,
                             rotate::aligned_rotation({.second_moment = residual_->values(),
                                                       .n = config_.hidden,
                                                       .block = group,
                                                       .n_directions = config_.hidden / group},
                                                      pool_));
    }

  private:
    void look_at_residual(const model::SiteRule& site, Calibration& text) {
        text.for_inputs(site.site, [&](const kernels::Rows& rows) { residual_->add(rows); });
    }

    // Q of each KV head.
    std::vector<std::vector<double>> value_heads(Calibration& text) {
        const int64_t d = config_.head_dim, n_sharing = config_.n_heads / config_.n_kv_heads;
        std::vector<SecondMoment> moments;
        for (int64_t head = 0; head < config_.n_kv_heads; ++head) moments.emplace_back(d, backend_);
        text.for_inputs(InputSite::Output, [&](const kernels::Rows& rows) {
            for (int64_t head = 0; head < config_.n_heads; ++head) {
                moments[static_cast<size_t>(head / n_sharing)].add(columns_of(rows, head * d, d));
            }
        });
        std::vector<std::vector<double>> heads;
        for (const SecondMoment& moment : moments) {
            heads.push_back(rotate::aligned_rotation(
                {.second_moment = moment.values(), .n = d, .block = d, .n_directions = 1}, pool_));
        }
        return heads;
    }

    const model::ModelConfig& config_;
    const Recipe& recipe_;
    ThreadPool& pool_;
    kernels::Backend& backend_;
    const Recipe plain_;
    const rotate::Rotation none_;
    const Smoothing unsmoothed_;
    const OutputPlan plan_;
    const QuantizeContext context_;
    LayerQuantizer layers_;
    std::optional<SecondMoment> residual_;
};

}  // namespace

void find_rotation(const folder::SourceModel& source, const Recipe& recipe,
                   const TokenWindows& windows, ThreadPool& pool, kernels::Backend& backend,
                   rotate::Rotation& rotation) {
    RotationFinder(source, recipe, windows, pool, backend).find(rotation);
}

}  // namespace quarot::quantize
