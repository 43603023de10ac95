#include "quantize/quantized_linear.h"

#include <algorithm>
#include <memory>

#include "core/check.h"
#include "core/process.h"
#include "quantize/quantized_tensors.h"
#include "quantize/rounding/grid.h"

namespace quarot::quantize {
namespace {

struct Block {
    QuantizedMatrix matrix;
    std::optional<OutlierWeights> outliers;
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

// A row of the block as the finished model has it.
void finished_row(const Block& block, int64_t row, std::span<float> out) {
    const auto n_main = static_cast<size_t>(block.matrix.cols);
    block.matrix.dequantize_row(row, out.first(n_main));
    if (block.outliers) widen_row(*block.outliers, row, out.subspan(n_main));
}

SquaredError squared_error(const WeightMatrix& rows, const Block& block) {
    SquaredError sum;
    std::vector<float> finished(static_cast<size_t>(rows.cols));
    for (int64_t r = 0; r < rows.rows; ++r) {
        finished_row(block, r, finished);
        for (int64_t c = 0; c < rows.cols; ++c) {
            const double w = rows.values[r * rows.cols + c];
            const double difference = w - static_cast<double>(finished[c]);
            sum.error += difference * difference;
            sum.norm += w * w;
        }
    }
    return sum;
}

// The columns of every row from first_column on.
std::vector<float> last_columns(const WeightMatrix& rows, int64_t first_column) {
    std::vector<float> values;
    for (int64_t row = 0; row < rows.rows; ++row) {
        const auto all = rows.values.subspan(row * rows.cols, rows.cols);
        values.insert(values.end(), all.begin() + first_column, all.end());
    }
    return values;
}

void keep_differences(const WeightMatrix& rows, const OutlierWeights* nearest_outliers,
                      Block& block) {
    const int64_t n_main = block.matrix.cols;
    block.difference.resize(rows.values.size());
    block.nearest_difference.resize(rows.values.size());
    for (int64_t row = 0; row < rows.rows; ++row) {
        const auto w = rows.values.subspan(row * rows.cols, rows.cols);
        const auto part = [&](std::vector<float>& all) {
            return std::span(all).subspan(static_cast<size_t>(row * rows.cols), w.size());
        };
        const auto difference = part(block.difference);
        finished_row(block, row, difference);
        for (size_t c = 0; c < w.size(); ++c) difference[c] = w[c] - difference[c];
        const auto nearest = part(block.nearest_difference);
        nearest_difference(w, block.matrix, row, nearest);
        if (nearest_outliers == nullptr) continue;
        widen_row(*nearest_outliers, row, nearest.subspan(static_cast<size_t>(n_main)));
        for (size_t c = static_cast<size_t>(n_main); c < w.size(); ++c)
            nearest[c] = w[c] - nearest[c];
    }
}

Block finish_block(const std::string& name, const WeightMatrix& rows, QuantizedPiece piece,
                   const ColumnOrder& columns, bool with_differences) {
    Block block;
    block.matrix = std::move(piece.codes);
    std::optional<OutlierWeights> nearest;
    if (columns.n_outliers > 0) {
        const auto round = [&](std::span<const float> values) {
            return round_outliers(name, values, columns.n_outliers, columns.outliers);
        };
        block.outliers = round(piece.rest);
        if (with_differences) nearest = round(last_columns(rows, columns.n_main()));
    }
    block.error = squared_error(rows, block);
    if (with_differences) keep_differences(rows, nearest ? &*nearest : nullptr, block);
    return block;
}

// The rows of a block as the quantizer sees them.
std::vector<float> rows_for_quantizer(const WeightRows& weight, int64_t block,
                                      const ColumnOrder& columns) {
    std::vector<float> values = weight.block(block);
    return columns.empty() ? values : columns.of_rows(values);
}

// A weight that was quantized as a whole, with the rows it was made from.
struct WholeWeight {
    std::unique_ptr<float[]> values;  // [rows, cols]
    QuantizedPiece piece;

    std::span<const float> rows(int64_t first, int64_t count, int64_t cols) const {
        return {values.get() + first * cols, static_cast<size_t>(count * cols)};
    }
    QuantizedPiece piece_of(int64_t first, int64_t count) const {
        const int64_t n_rest = std::ssize(piece.rest) / piece.codes.rows;
        const auto rest = piece.rest.begin() + first * n_rest;
        return {rows_of(piece.codes, first, count), {rest, rest + count * n_rest}};
    }
};

WholeWeight quantize_whole(const WeightRows& weight, const PreparedQuantizer& quantizer,
                           const ColumnOrder& columns, ThreadPool& pool) {
    const auto n_values = static_cast<size_t>(weight.rows * weight.cols);
    WholeWeight whole{std::make_unique_for_overwrite<float[]>(n_values), {}};
    pool.parallel_for(weight.n_blocks(), [&](int64_t index, int) {
        const std::vector<float> values = rows_for_quantizer(weight, index, columns);
        std::copy(values.begin(), values.end(),
                  whole.values.get() + index * weight.block_rows * weight.cols);
    });
    whole.piece =
        quantizer.quantize({whole.rows(0, weight.rows, weight.cols), weight.rows, weight.cols});
    return whole;
}

// Finished blocks of one weight; threads may make different ones at the same time.
struct BlockMaker {
    const std::string& name;
    const WeightRows& weight;
    const PreparedQuantizer& quantizer;
    const ColumnOrder& columns;
    bool with_differences = false;
    std::optional<WholeWeight> whole;  // of a quantizer that takes all rows

    Block make(int64_t index) const {
        const int64_t first = index * weight.block_rows;
        const int64_t count = std::min(weight.block_rows, weight.rows - first);
        if (whole) {
            const WeightMatrix rows{whole->rows(first, count, weight.cols), count, weight.cols};
            return finish_block(name, rows, whole->piece_of(first, count), columns,
                                with_differences);
        }
        const std::vector<float> values = rows_for_quantizer(weight, index, columns);
        const WeightMatrix rows{values, count, weight.cols};
        return finish_block(name, rows, quantizer.quantize(rows), columns, with_differences);
    }
};

// Adds tr(E H E^T) of some blocks to a sum, one after another, so that it does not depend on how
// many there are at a time.
void add_weighted(const std::vector<Block>& blocks, std::vector<float> Block::*differences,
                  HessianError& hessian, double& sum) {
    std::vector<std::span<const float>> parts;
    parts.reserve(blocks.size());
    for (const Block& block : blocks) parts.emplace_back(block.*differences);
    for (const double error : hessian.of(parts)) sum += error;
}

}  // namespace

WeightRows rows_of(const RotatedWeight& weight) {
    return {weight.rows(), weight.cols(), weight.block_rows(),
            [&weight](int64_t index) { return weight.block(index); }};
}

QuantizedLinear quantize_linear(const std::string& name, const WeightRows& weight,
                                const PreparedQuantizer& quantizer, const WeightFormat& format,
                                const ColumnOrder& columns, HessianError* hessian,
                                ThreadPool& pool) {
    constexpr int64_t kBlocksPerThread = 2;
    BlockMaker maker{name, weight, quantizer, columns, hessian != nullptr, {}};
    if (quantizer.takes_all_rows()) maker.whole = quantize_whole(weight, quantizer, columns, pool);
    QuantizedLinear linear;
    linear.matrix = make_quantized_matrix(weight.rows, weight.cols - columns.n_outliers,
                                          format.bits, format.group_size, format.symmetric);
    if (columns.n_outliers > 0) {
        linear.outliers = make_outlier_weights(weight.rows, columns.n_outliers, columns.outliers);
    }
    SquaredError error;
    double weighted_error = 0.0, nearest_error = 0.0;
    const int64_t wave = kBlocksPerThread * pool.size();
    for (int64_t first = 0; first < weight.n_blocks(); first += wave) {
        throw_if_interrupted();
        std::vector<Block> blocks(static_cast<size_t>(std::min(wave, weight.n_blocks() - first)));
        pool.parallel_for(std::ssize(blocks), [&](int64_t i, int) {
            blocks[static_cast<size_t>(i)] = maker.make(first + i);
        });
        for (int64_t i = 0; i < std::ssize(blocks); ++i) {
            const Block& block = blocks[static_cast<size_t>(i)];
            const int64_t first_row = (first + i) * weight.block_rows;
            put_rows(block.matrix, first_row, linear.matrix);
            if (linear.outliers) {
                QUAROT_CHECK(block.outliers.has_value());
                put_rows(*block.outliers, first_row, *linear.outliers);
            }
            error += block.error;
        }
        if (hessian == nullptr) continue;
        add_weighted(blocks, &Block::difference, *hessian, weighted_error);
        add_weighted(blocks, &Block::nearest_difference, *hessian, nearest_error);
    }
    linear.report = {.name = name,
                     .bits = format.bits,
                     .group_size = format.group_size,
                     .method = format.method,
                     .relative_error = error.relative(),
                     .weights = weight.rows * weight.cols,
                     .bytes = linear.matrix.bytes(),
                     .outliers = columns.n_outliers};
    linear.report.bytes += std::ssize(columns.columns) * size_of(DType::I32);
    if (linear.outliers) linear.report.bytes += bytes_of(*linear.outliers);
    if (hessian != nullptr) {
        linear.report.weighted_error = weighted_error;
        linear.report.nearest_weighted_error = nearest_error;
    }
    return linear;
}

}  // namespace quarot::quantize
