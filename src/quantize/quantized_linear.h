// One weight from its rotated rows to codes, block by block on all threads.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/thread_pool.h"
#include "quantize/calibration/hessian_error.h"
#include "quantize/calibration/outlier_columns.h"
#include "quantize/layer_report.h"
#include "quantize/outlier_weights.h"
#include "quantize/rotated_weight.h"
#include "quantize/rounding/quantizer.h"

namespace quarot::quantize {

struct QuantizedLinear {
    QuantizedMatrix matrix;                  // of all columns but the outliers
    std::optional<OutlierWeights> outliers;  // those of the outliers, if there are any
    QuantizedLayerReport report;
};

// The result does not depend on the number of threads. columns: in which the quantizer sees them,
// empty for the weight's own order. hessian: in that order, null without calibration.
QuantizedLinear quantize_linear(const std::string& name, const RotatedWeight& weight,
                                const PreparedQuantizer& quantizer, const WeightFormat& format,
                                const ColumnOrder& columns, HessianError* hessian,
                                ThreadPool& pool);

}  // namespace quarot::quantize
