#include "quantize/rotated_weight.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "folder/stored_names.h"
#include "model/role_formats.h"

namespace quarot::quantize {
namespace {

constexpr int64_t kPanelColumns = 64;

int64_t rows_of_a_block(int64_t cols) {
    const int64_t rows = kBlockElements / cols / rotate::kRotationRows * rotate::kRotationRows;
    return std::max(rows, rotate::kRotationRows);
}

}  // namespace

WeightSource linear_source(const folder::SourceModel& source, const model::LinearId& id,
                           const Recipe& recipe, const rotate::Rotation& rotation) {
    const model::ModelConfig& config = source.config();
    const model::RoleRule rule = rule_of(id, config);
    WeightSource weight;
    weight.name = folder::linear_name(id) + ".weight";
    weight.rows = out_features(id, config);
    weight.cols = in_features(id, config);
    weight.input = {rule.input, id.layer};
    weight.output = {rule.output, id.layer};
    if (folds(recipe, config, rule.folded_norm)) {
        const std::vector<float> gain = source.norm_gain(rule.folded_norm, id.layer);
        weight.gain.assign(gain.begin(), gain.end());
    }
    if (id.role == model::LinearRole::Embedding && rotates_embedding_online(recipe, config)) {
        weight.input = model::Basis::Plain;
        weight.gain = rotation.signs;
    }
    if (rotation.balances_up && id.role == model::LinearRole::Up) {
        weight.rise = rotation.up_scales.at(static_cast<size_t>(id.layer));
    }
    if (rotation.balances_up && id.role == model::LinearRole::Down) {
        for (const double scale : rotation.up_scales.at(static_cast<size_t>(id.layer))) {
            weight.gain.push_back(1.0 / scale);
        }
    }
    if (folds_means(recipe, config) && model::writes_residual(id.role)) {
        weight.centre_outputs = model::is_of_layers(id.role);
        weight.centre_inputs = !weight.centre_outputs;
    }
    weight.read = [&source, id](int64_t first, int64_t n) {
        return source.dense_rows(id, first, n);
    };
    return weight;
}

RotatedWeight::RotatedWeight(WeightSource source, const rotate::Rotation& rotation,
                             const model::ModelConfig& config, ThreadPool& pool)
    : source_(std::move(source)),
      rotation_(rotation),
      config_(config),
      block_rows_(rows_of_a_block(source_.cols)) {
    if (!rotate::changes(rotation_, source_.output.basis) && !source_.centre_outputs) return;
    whole_.resize(rows() * cols());
    pool.parallel_for(n_blocks(), [&](int64_t index, int) {
        const int64_t first = index * block_rows_;
        const auto block = input_rotated(first, std::min(block_rows_, rows() - first));
        std::copy(block.begin(), block.end(), whole_.begin() + first * cols());
    });
    rotate_columns(pool);
}

int64_t RotatedWeight::n_blocks() const {
    return ceil_div(rows(), block_rows_);
}

std::vector<double> RotatedWeight::input_rotated(int64_t first, int64_t n) const {
    const Tensor stored = source_.read(first, n);
    std::vector<double> block(stored.as<float>(), stored.as<float>() + n * cols());
    if (source_.centre_inputs) rotate::centre_rows(block, n);
    rotate::rotate_input(rotation_, source_.input, config_, source_.gain, block, n);
    for (int64_t i = 0; i < std::ssize(block) && !source_.rise.empty(); ++i) {
        block[i] *= source_.rise[first + i / cols()];
    }
    return block;
}

// Panels of columns are copied together, so that a column's steps stay in the cache.
void RotatedWeight::rotate_columns(ThreadPool& pool) {
    pool.parallel_for(ceil_div(cols(), kPanelColumns), [&](int64_t index, int) {
        const int64_t first = index * kPanelColumns;
        const int64_t width = std::min(kPanelColumns, cols() - first);
        std::vector<double> panel(rows() * width);
        for (int64_t r = 0; r < rows(); ++r) {
            std::copy_n(&whole_[r * cols() + first], width, &panel[r * width]);
        }
        if (source_.centre_outputs) rotate::centre_columns(panel, width);
        rotate::rotate_output(rotation_, source_.output, config_, panel, width);
        for (int64_t r = 0; r < rows(); ++r) {
            std::copy_n(&panel[r * width], width, &whole_[r * cols() + first]);
        }
    });
}

std::vector<float> RotatedWeight::block(int64_t index) const {
    const int64_t first = index * block_rows_;
    const int64_t n = std::min(block_rows_, rows() - first);
    std::vector<double> made;
    if (whole_.empty()) made = input_rotated(first, n);
    const double* from = whole_.empty() ? made.data() : &whole_[first * cols()];
    std::vector<float> rounded(n * cols());
    for (int64_t i = 0; i < n * cols(); ++i) {
        rounded[i] = static_cast<float>(from[i]);
        if (!std::isfinite(rounded[i])) {
            fail(ErrorCode::Numeric,
                 "tensor {}: row {}, column {} becomes {} after rotation, which is more than an "
                 "F32 holds",
                 name(), first + i / cols(), i % cols(), from[i]);
        }
    }
    return rounded;
}

}  // namespace quarot::quantize
