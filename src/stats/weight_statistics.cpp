#include "stats/weight_statistics.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "core/error.h"
#include "core/process.h"
#include "core/progress.h"
#include "model/role_formats.h"
#include "quantize/rotated_weight.h"
#include "quantize/rounding/quantizer.h"

namespace quarot::stats {
namespace {

using model::LinearId;

constexpr int64_t kBlocksOfThread = 2;  // that are made before they are looked at

// Null for 16 bits.
std::unique_ptr<quantize::PreparedQuantizer> rounding(const quantize::RotatedWeight& weight,
                                                      WeightFormat format, ThreadPool& pool) {
    if (format.bits == 16) return nullptr;
    format.method = "rtn";
    return quantize::quantizer_named(format.method)
        .prepare({.site = weight.name(),
                  .n_cols = weight.cols(),
                  .n_codes = weight.cols(),
                  .hessian = {},
                  .device_hessian = {}},
                 format, pool);
}

struct Block {
    std::vector<float> values;
    std::vector<double> squared_errors;  // of rows; empty if nothing is quantized
};

Block make_block(const quantize::RotatedWeight& weight,
                 const quantize::PreparedQuantizer* quantizer, int64_t index) {
    Block block = {weight.block(index), {}};
    if (quantizer == nullptr) return block;
    const int64_t cols = weight.cols(), n_rows = std::ssize(block.values) / cols;
    const QuantizedMatrix codes = quantizer->quantize({block.values, n_rows, cols}).codes;
    std::vector<float> quantized(static_cast<size_t>(cols));
    for (int64_t row = 0; row < n_rows; ++row) {
        codes.dequantize_row(row, quantized);
        double& sum = block.squared_errors.emplace_back(0.0);
        for (int64_t c = 0; c < cols; ++c) {
            const double difference = double{block.values[static_cast<size_t>(row * cols + c)]} -
                                      double{quantized[static_cast<size_t>(c)]};
            sum += difference * difference;
        }
    }
    return block;
}

Summary summary_of(const quantize::RotatedWeight& weight, const WeightFormat& format,
                   ThreadPool& pool) {
    const auto quantizer = rounding(weight, format, pool);
    Statistics statistics(weight.cols());
    const int64_t wave = kBlocksOfThread * pool.size();
    for (int64_t first = 0; first < weight.n_blocks(); first += wave) {
        throw_if_interrupted();
        std::vector<Block> blocks(static_cast<size_t>(std::min(wave, weight.n_blocks() - first)));
        pool.parallel_for(std::ssize(blocks), [&](int64_t i, int) {
            blocks[static_cast<size_t>(i)] = make_block(weight, quantizer.get(), first + i);
        });
        for (const Block& block : blocks) {
            statistics.add(block.values, block.squared_errors, pool);
        }
    }
    return statistics.summary();
}

// By layer, in the order of its linears.
std::vector<LinearId> linears_of(const folder::SourceModel& source,
                                 const std::vector<int64_t>& layers) {
    std::vector<LinearId> ids;
    for (const int64_t layer : layers) {
        const std::vector<LinearId> of_layer = model::linears_of(source.config(), layer);
        ids.insert(ids.end(), of_layer.begin(), of_layer.end());
    }
    return ids;
}

}  // namespace

std::optional<LinearId> first_of_codes(const folder::SourceModel& source,
                                       const std::vector<int64_t>& layers) {
    for (const LinearId& id : linears_of(source, layers)) {
        if (!source.is_dense(id)) return id;
    }
    return std::nullopt;
}

void require_dense(const folder::SourceModel& source, const std::vector<int64_t>& layers) {
    const auto id = first_of_codes(source, layers);
    if (!id) return;
    fail(ErrorCode::Unsupported,
         "{}: {} of layer {} is stored as codes, expected floating-point weights; choose points "
         "without weights, or the folder that this one was made from",
         source.folder(), name_of(id->role), id->layer);
}

std::vector<WeightReport> measure_weights(const folder::SourceModel& source,
                                          const std::vector<int64_t>& layers, const Recipe& recipe,
                                          const rotate::Rotation* rotation, ThreadPool& pool) {
    const model::ModelConfig& config = source.config();
    const Stages stages = stages_of(source, rotation);
    const Recipe as_stored = full_precision_recipe();
    const rotate::Rotation none;
    require_dense(source, layers);
    const std::vector<LinearId> ids = linears_of(source, layers);
    Progress progress("weights", std::ssize(ids));
    std::vector<WeightReport> reports;
    for (const LinearId& id : ids) {
        const WeightFormat format = weight_format(recipe, id.role);
        const auto summary = [&](const Recipe& of, const rotate::Rotation& by) {
            const quantize::RotatedWeight weight(quantize::linear_source(source, id, of, by), by,
                                                 config, pool);
            return summary_of(weight, format, pool);
        };
        WeightReport report = {.id = id,
                               .n_rows = out_features(id, config),
                               .n_channels = in_features(id, config),
                               .bits = format.bits,
                               .before = {},
                               .after = {}};
        if (stages.before) report.before = summary(as_stored, none);
        if (stages.after) {
            report.after =
                rotation == nullptr ? summary(as_stored, none) : summary(recipe, *rotation);
        }
        reports.push_back(std::move(report));
        progress.advance();
    }
    return reports;
}

}  // namespace quarot::stats
