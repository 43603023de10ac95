// One weight from its rotated rows to codes, block by block on all threads.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/thread_pool.h"
#include "io/json.h"
#include "quantize/hessian_error.h"
#include "quantize/outlier_columns.h"
#include "quantize/outlier_weights.h"
#include "quantize/quantizer.h"
#include "quantize/rotated_weight.h"

namespace quarot::quantize {

struct QuantizedLayerReport {
    std::string name;
    int bits = 16;
    int64_t group_size = 0;
    std::string method;
    double relative_error = 0.0;  // ||W - W_q|| / ||W||
    // tr(E H E^T) of the codes, and of the nearest codes on the same grids; with calibration only.
    std::optional<double> weighted_error, nearest_weighted_error;
    int64_t weights = 0;   // 0 if not quantized
    int64_t bytes = 0;     // codes, scales, zero points and what outliers add
    int64_t outliers = 0;  // columns that are kept apart
};

io::Json to_json(const QuantizedLayerReport& report);
QuantizedLayerReport layer_report_from_json(const io::Json& json);
io::Json to_json(const std::vector<QuantizedLayerReport>& reports);
std::vector<QuantizedLayerReport> layer_reports_from_json(const io::Json& json);

struct QuantizedLinear {
    QuantizedMatrix matrix;                  // of all columns but the outliers
    std::optional<OutlierWeights> outliers;  // those of the outliers, if there are any
    QuantizedLayerReport report;
};

// The result does not depend on the number of threads. columns: in which the quantizer sees them,
// empty for the weight's own order. hessian: in that order, null without calibration.
QuantizedLinear quantize_linear(const std::string& name, const RotatedWeight& weight,
                                const PreparedQuantizer& quantizer,
                                const model::WeightFormat& format, const ColumnOrder& columns,
                                HessianError* hessian, ThreadPool& pool);

}  // namespace quarot::quantize
