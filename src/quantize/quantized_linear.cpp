#include "quantize/quantized_linear.h"

#include <algorithm>
#include <limits>

#include "core/check.h"
#include "core/process.h"
#include "quantize/grid.h"
#include "quantize/quantized_tensors.h"

namespace quarot::quantize {
namespace {

struct Block {
    QuantizedMatrix matrix;
    SquaredError error;
    std::vector<float> difference;          // W - W_q; with a Hessian only
    std::vector<float> nearest_difference;  // of the nearest codes on the same grids
};

Grid grid_of(const QuantizedMatrix& matrix, int64_t row, int64_t group) {
    const auto low = static_cast<float>(matrix.q_min() - matrix.zero(row, group));
    return {matrix.scale(row, group), low, low + static_cast<float>((1 << matrix.bits) - 1)};
}

// What rounding alone would leave of one row on the grids that were chosen.
void nearest_difference(std::span<const float> w, const QuantizedMatrix& matrix, int64_t row,
                        std::span<float> out) {
    const int64_t size = matrix.group_size == 0 ? matrix.cols : matrix.group_size;
    for (int64_t c = 0; c < matrix.cols; ++c) {
        const Grid grid = grid_of(matrix, row, c / size);
        out[c] = w[c] - grid.scale * grid.round(w[c]);
    }
}

void keep_differences(const WeightMatrix& rows, Block& block) {
    block.difference.resize(rows.values.size());
    block.nearest_difference.resize(rows.values.size());
    for (int64_t row = 0; row < rows.rows; ++row) {
        const auto w = rows.values.subspan(row * rows.cols, rows.cols);
        const auto part = [&](std::vector<float>& all) {
            return std::span(all).subspan(static_cast<size_t>(row * rows.cols), w.size());
        };
        const auto difference = part(block.difference);
        block.matrix.dequantize_row(row, difference);
        for (size_t c = 0; c < w.size(); ++c) difference[c] = w[c] - difference[c];
        nearest_difference(w, block.matrix, row, part(block.nearest_difference));
    }
}

double finite_or_zero(const io::Json* json) {
    return json == nullptr ? 0.0 : json->as_double();
}

}  // namespace

io::Json to_json(const QuantizedLayerReport& report) {
    io::Json json;
    json.set("name", report.name);
    json.set("bits", report.bits);
    json.set("group_size", report.group_size);
    json.set("method", report.method);
    json.set("relative_error", report.relative_error);
    if (report.weighted_error) json.set("weighted_error", *report.weighted_error);
    if (report.nearest_weighted_error) {
        json.set("nearest_weighted_error", *report.nearest_weighted_error);
    }
    json.set("weights", report.weights);
    json.set("bytes", report.bytes);
    return json;
}

QuantizedLayerReport layer_report_from_json(const io::Json& json) {
    constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
    QuantizedLayerReport report;
    report.name = json.at("name").as_string();
    report.bits = static_cast<int>(json.at("bits").as_int(2, 16));
    report.group_size = json.at("group_size").as_int(0, kMax);
    report.method = json.at("method").as_string();
    report.relative_error = finite_or_zero(json.find("relative_error"));
    if (json.find("weighted_error") != nullptr) {
        report.weighted_error = json.at("weighted_error").as_double();
        report.nearest_weighted_error = json.at("nearest_weighted_error").as_double();
    }
    report.weights = json.at("weights").as_int(0, kMax);
    report.bytes = json.at("bytes").as_int(0, kMax);
    return report;
}

io::Json to_json(const std::vector<QuantizedLayerReport>& reports) {
    io::Json::Array array;
    for (const QuantizedLayerReport& report : reports) array.push_back(to_json(report));
    return array;
}

std::vector<QuantizedLayerReport> layer_reports_from_json(const io::Json& json) {
    std::vector<QuantizedLayerReport> reports;
    for (const io::Json& report : json.as_array()) {
        reports.push_back(layer_report_from_json(report));
    }
    return reports;
}

QuantizedLinear quantize_linear(const std::string& name, const RotatedWeight& weight,
                                const PreparedQuantizer& quantizer,
                                const model::WeightFormat& format, HessianError* hessian,
                                ThreadPool& pool) {
    constexpr int64_t kBlocksPerThread = 2;
    const auto make = [&](int64_t index) {
        const std::vector<float> values = weight.block(index);
        const WeightMatrix rows{values, std::ssize(values) / weight.cols(), weight.cols()};
        Block block;
        block.matrix = quantizer.quantize(rows).codes;
        block.error = squared_error(rows, block.matrix);
        if (hessian != nullptr) keep_differences(rows, block);
        return block;
    };
    QuantizedLinear linear;
    linear.matrix = make_quantized_matrix(weight.rows(), weight.cols(), format.bits,
                                          format.group_size, format.symmetric);
    SquaredError error;
    double weighted = 0.0, nearest = 0.0;
    const int64_t wave = kBlocksPerThread * pool.size();
    for (int64_t first = 0; first < weight.n_blocks(); first += wave) {
        throw_if_interrupted();
        std::vector<Block> blocks(static_cast<size_t>(std::min(wave, weight.n_blocks() - first)));
        pool.parallel_for(std::ssize(blocks), [&](int64_t i, int) {
            blocks[static_cast<size_t>(i)] = make(first + i);
        });
        for (int64_t i = 0; i < std::ssize(blocks); ++i) {
            const Block& block = blocks[static_cast<size_t>(i)];
            put_rows(block.matrix, (first + i) * weight.block_rows(), linear.matrix);
            error += block.error;
            if (hessian == nullptr) continue;
            weighted += hessian->of(block.difference, block.matrix.rows);
            nearest += hessian->of(block.nearest_difference, block.matrix.rows);
        }
    }
    linear.report = {.name = name,
                     .bits = format.bits,
                     .group_size = format.group_size,
                     .method = format.method,
                     .relative_error = error.relative(),
                     .weights = weight.rows() * weight.cols(),
                     .bytes = linear.matrix.bytes()};
    if (hessian != nullptr) {
        linear.report.weighted_error = weighted;
        linear.report.nearest_weighted_error = nearest;
    }
    return linear;
}

}  // namespace quarot::quantize
