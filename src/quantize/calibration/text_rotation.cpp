#include "quantize/calibration/text_rotation.h"

#include <utility>
#include <vector>

#include "core/check.h"
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

}  // namespace

void find_rotation(const folder::SourceModel& source, const Recipe& recipe,
                   const TokenWindows& windows, ThreadPool& pool, kernels::Backend& backend,
                   rotate::Rotation& rotation) {
    const Recipe plain = full_precision(recipe);
    const rotate::Rotation none;
    const Smoothing smooth_as_it_is;
    const OutputPlan plan = plan_output(source, none, plain, int64_t{1} << 40);
    const QuantizeContext context = {source, plain, none, plan, pool, smooth_as_it_is};
    LayerQuantizer layers(context, windows, &backend);
    const model::ModelConfig& config = source.config();
    SecondMoment residual(config.hidden, backend);
    Progress progress("looking at the text", config.n_layers);
    for (int64_t layer = 0; layer < config.n_layers; ++layer) {
        layers.walk(layer, [&](const model::SiteRule& site, Calibration& calibration) {
            if (!reads_residual(site)) return;
            calibration.for_inputs(site.site,
                                   [&](const kernels::Rows& rows) { residual.add(rows); });
        });
        progress.advance();
    }
    const int64_t group = recipe.activations.group_size;
    rotate::set_residual(rotation, rotate::aligned_rotation({.second_moment = residual.values(),
                                                             .n = config.hidden,
                                                             .block = group,
                                                             .n_directions = config.hidden / group},
                                                            pool));
}

}  // namespace quarot::quantize
