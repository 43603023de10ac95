#include "quantize/calibration/smoothing.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <optional>
#include <utility>

#include "core/log.h"
#include "core/progress.h"
#include "quantize/calibration/calibration.h"
#include "quantize/calibration/column_maxima.h"
#include "quantize/calibration/smoothing_error.h"

namespace quarot::quantize {
namespace {

using model::InputSite;
using model::LinearRole;
using model::NormRole;

constexpr std::array<double, 9> kGrid = {0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9};

// Largest magnitudes of the columns at one place: of the inputs, and of all weights that read them.
struct Maxima {
    std::vector<float> x, w;
};

bool is_smoothed_site(InputSite site) {
    return site == InputSite::Attention || site == InputSite::Mlp;
}

Recipe unquantized(Recipe recipe) {
    recipe.activations.bits = recipe.k.bits = recipe.v.bits = 16;
    return recipe;
}

class Finder {
  public:
    Finder(const folder::SourceModel& source, const Recipe& recipe, const TokenWindows& windows,
           ThreadPool& pool, kernels::Backend& backend)
        : source_(source),
          recipe_(recipe),
          pool_(pool),
          backend_(backend),
          calibration_(source.config(), unquantized(recipe), source.folder(), windows, backend) {
        const rotate::Rotation none;
        calibration_.embed(
            RotatedWeight(linear_source(source, {LinearRole::Embedding}, recipe, none), none,
                          source.config(), pool),
            [](std::span<float>) {});
    }

    Smoothing find() {
        const int64_t n_layers = source_.config().n_layers;
        Progress progress("smoothing", n_layers);
        std::vector<std::array<Maxima, 2>> maxima;
        for (int64_t layer = 0; layer < n_layers; ++layer) {
            maxima.push_back(look_at(layer));
            progress.advance();
        }
        Smoothing smoothing;
        smoothing.alpha = best_alpha();
        for (const auto& [attention, mlp] : maxima) {
            smoothing.layers.push_back({smoothing_scales(attention.x, attention.w, smoothing.alpha),
                                        smoothing_scales(mlp.x, mlp.w, smoothing.alpha)});
        }
        return smoothing;
    }

  private:
    bool searches() const { return recipe_.smoothing.alpha == 0.0; }

    double best_alpha() const {
        if (!searches()) return recipe_.smoothing.alpha;
        const auto best = std::min_element(errors_.begin(), errors_.end());
        const double alpha = kGrid[static_cast<size_t>(best - errors_.begin())];
        log_info("smoothing: alpha {} disturbs the linears least", alpha);
        return alpha;
    }

    std::array<Maxima, 2> look_at(int64_t layer) {
        std::array<Maxima, 2> maxima;
        for (const NormRole role : norms_of(source_.config(), layer)) {
            calibration_.set_norm(role, source_.norm_gain(role, layer));
        }
        for (const model::SiteRule& site : sites_of(source_.config(), layer)) {
            std::vector<std::shared_ptr<const Tensor>> weights;
            for (const LinearRole role : site.roles) {
                weights.push_back(std::make_shared<const Tensor>(source_.dense({role, layer})));
            }
            if (is_smoothed_site(site.site)) {
                maxima[site.site == InputSite::Mlp ? 1 : 0] = look_at(site, weights);
            }
            for (size_t i = 0; i < weights.size(); ++i) {
                const LinearRole role = site.roles[i];
                calibration_.set_linear(role, {weights[i], source_.bias({role, layer})});
            }
        }
        calibration_.finish_layer();
        return maxima;
    }

    Maxima look_at(const model::SiteRule& site,
                   const std::vector<std::shared_ptr<const Tensor>>& weights) {
        const auto cols = static_cast<size_t>(source_.config().hidden);
        Maxima maxima = {std::vector<float>(cols), std::vector<float>(cols)};
        std::optional<SmoothingError> error;
        calibration_.for_inputs(site.site, [&](const kernels::Rows& inputs) {
            raise_column_maxima(inputs, backend_, maxima.x);
            if (searches() && !error) error.emplace(inputs, backend_);
        });
        for (const auto& weight : weights) raise_weight_maxima(*weight, maxima.w);
        if (!error) return maxima;
        for (size_t i = 0; i < kGrid.size(); ++i) {
            const auto scales = smoothing_scales(maxima.x, maxima.w, kGrid[i]);
            for (const auto& weight : weights) {
                errors_[i] += error->of(*weight, scales, recipe_, site.roles.front(), pool_);
            }
        }
        return maxima;
    }

    const folder::SourceModel& source_;
    const Recipe& recipe_;
    ThreadPool& pool_;
    kernels::Backend& backend_;
    Calibration calibration_;
    std::array<double, kGrid.size()> errors_{};  // summed over linears
};

}  // namespace

bool is_smoothed(const Recipe& recipe, NormRole role) {
    return recipe.smoothing.enabled && (role == NormRole::AttentionIn || role == NormRole::MlpIn);
}

std::vector<double> smoothing_scales(std::span<const float> x_maxima,
                                     std::span<const float> w_maxima, double alpha) {
    std::vector<double> scales(x_maxima.size(), 1.0);
    for (size_t i = 0; i < scales.size(); ++i) {
        if (x_maxima[i] == 0.0f || w_maxima[i] == 0.0f) continue;
        scales[i] = std::pow(static_cast<double>(x_maxima[i]), alpha) /
                    std::pow(static_cast<double>(w_maxima[i]), 1.0 - alpha);
    }
    return scales;
}

std::span<const double> Smoothing::of(NormRole role, int64_t layer) const {
    const bool smoothed = role == NormRole::AttentionIn || role == NormRole::MlpIn;
    if (layers.empty() || !smoothed) return {};
    const Layer& scales = layers.at(static_cast<size_t>(layer));
    return role == NormRole::AttentionIn ? scales.attention : scales.mlp;
}

Smoothing find_smoothing(const folder::SourceModel& source, const Recipe& recipe,
                         const TokenWindows& windows, ThreadPool& pool, kernels::Backend& backend) {
    return Finder(source, recipe, windows, pool, backend).find();
}

}  // namespace quarot::quantize
