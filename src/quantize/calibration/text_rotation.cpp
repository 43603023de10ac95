#include "quantize/calibration/text_rotation.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/progress.h"
#include "quantize/calibration/download_row.h"
#include "quantize/hessian.h"
#include "quantize/layer_quantizer.h"
#include "rotate/aligned.h"
#include "rotate/balance.h"

namespace quarot::quantize {
namespace {

using model::InputSite;
using model::LinearRole;

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
        : backend_(backend), sums_(zero_sums(n, backend)) {}

    void add(const kernels::Rows& rows) {
        backend_.accumulate_gram(rows, static_cast<double*>(sums_.data()));
    }

    // Error{Numeric} naming `whose` they are where squares exceeded fp32.
    std::vector<double> values(const std::string& whose) const {
        std::vector<double> values = download_sums(sums_, backend_);
        const bool finite = std::all_of(values.begin(), values.end(),
                                        [](double value) { return std::isfinite(value); });
        if (finite) return values;
        fail(ErrorCode::Numeric,
             "{}: squares exceed what fp32 holds, so that no rotation can be aligned with them",
             whose);
    }

  private:
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

void add_squares(const kernels::Rows& rows, kernels::Backend& backend, std::vector<double>& sums) {
    std::vector<float> row(sums.size());
    for (int64_t r = 0; r < rows.rows; ++r) {
        download_row(rows, r, backend, row);
        for (size_t c = 0; c < row.size(); ++c) sums[c] += static_cast<double>(row[c]) * row[c];
    }
}

// Sums of squares of the columns of a whole weight.
std::vector<double> column_squares(const RotatedWeight& weight) {
    std::vector<double> sums(static_cast<size_t>(weight.cols()));
    for (int64_t block = 0; block < weight.n_blocks(); ++block) {
        const std::vector<float> values = weight.block(block);
        for (size_t i = 0; i < values.size(); ++i) {
            sums[i % sums.size()] += static_cast<double>(values[i]) * values[i];
        }
    }
    return sums;
}

// One pass of the text, from the first layer to the last.
class RotationFinder {
  public:
    RotationFinder(const folder::SourceModel& source, const Recipe& recipe,
                   const TokenWindows& windows, ThreadPool& pool, kernels::Backend& backend)
        : config_(source.config()),
          recipe_(recipe),
          n_tokens_(static_cast<double>(windows.size() * windows.front().size())),
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
                    rotate::add_value_heads(rotation, value_heads(layer, text));
                }
                if (rotation.balances_up && site.site == InputSite::Down) {
                    rotation.up_scales.push_back(up_scales(layer, text));
                }
            });
            progress.advance();
        }
        if (!aligned) return;
        const int64_t group = recipe_.activations.group_size;
        rotate::set_residual(rotation, rotate::aligned_rotation(
                                           {.second_moment = residual_->values("what norms give"),
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
    std::vector<std::vector<double>> value_heads(int64_t layer, Calibration& text) {
        const int64_t d = config_.head_dim, n_sharing = config_.n_heads / config_.n_kv_heads;
        std::vector<SecondMoment> moments;
        for (int64_t head = 0; head < config_.n_kv_heads; ++head) moments.emplace_back(d, backend_);
        text.for_inputs(InputSite::Output, [&](const kernels::Rows& rows) {
            for (int64_t head = 0; head < config_.n_heads; ++head) {
                moments[static_cast<size_t>(head / n_sharing)].add(columns_of(rows, head * d, d));
            }
        });
        const std::string whose = fmt::format("layer {}: what o_proj reads", layer);
        std::vector<std::vector<double>> heads;
        for (const SecondMoment& moment : moments) {
            heads.push_back(rotate::aligned_rotation(
                {.second_moment = moment.values(whose), .n = d, .block = d, .n_directions = 1},
                pool_));
        }
        return heads;
    }

    std::vector<double> up_scales(int64_t layer, Calibration& text) {
        std::vector<double> squares(static_cast<size_t>(config_.ffn));
        text.for_inputs(InputSite::Down,
                        [&](const kernels::Rows& rows) { add_squares(rows, backend_, squares); });
        for (double& square : squares) square /= n_tokens_;
        return rotate::balancing_scales(column_squares(context_.rotated({LinearRole::Down, layer})),
                                        squares, recipe_.rotation.up_balance);
    }

    const model::ModelConfig& config_;
    const Recipe& recipe_;
    const double n_tokens_;
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
