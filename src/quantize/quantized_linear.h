// One weight from its rotated rows to codes, block by block on all threads.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/checked_math.h"
#include "core/thread_pool.h"
#include "quantize/calibration/hessian_error.h"
#include "quantize/calibration/outlier_columns.h"
#include "quantize/layer_report.h"
#include "quantize/outlier_weights.h"
#include "quantize/rotated_weight.h"
#include "quantize/rounding/quantizer.h"

namespace quarot::quantize {

// What is to be quantized, in blocks of rows.
struct WeightRows {
    int64_t rows = 0;
    int64_t cols = 0;
    int64_t block_rows = 0;  // of all blocks but the last
    // fp32 [rows of the block, cols]; threads may call it at the same time.
    std::function<std::vector<float>(int64_t index)> block;

    int64_t n_blocks() const { return ceil_div(rows, block_rows); }
};
WeightRows rows_of(const RotatedWeight& weight);  // which must outlive them

struct QuantizedLinear {
    QuantizedMatrix matrix;                  // of all columns but the outliers
    std::optional<OutlierWeights> outliers;  // those of the outliers, if there are any
    QuantizedLayerReport report;
};

// The result does not depend on the number of threads. columns: in which the quantizer sees them,
// empty for the weight's own order. hessian: in that order, null without calibration.
QuantizedLinear quantize_linear(const std::string& name, const WeightRows& weight,
                                const PreparedQuantizer& quantizer, const WeightFormat& format,
                                const ColumnOrder& columns, HessianError* hessian,
                                ThreadPool& pool);

}  // namespace quarot::quantize
