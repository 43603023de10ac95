// One weight from its rotated rows to codes, block by block on all threads.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/thread_pool.h"
#include "io/json.h"
#include "quantize/hessian_error.h"
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
    int64_t weights = 0;  // 0 if not quantized
    int64_t bytes = 0;    // codes, scales and zero points
};

io::Json to_json(const QuantizedLayerReport& report);
QuantizedLayerReport layer_report_from_json(const io::Json& json);
io::Json to_json(const std::vector<QuantizedLayerReport>& reports);
std::vector<QuantizedLayerReport> layer_reports_from_json(const io::Json& json);

struct QuantizedLinear {
    QuantizedMatrix matrix;
    QuantizedLayerReport report;
};

// The result does not depend on the number of threads. hessian: null without calibration.
QuantizedLinear quantize_linear(const std::string& name, const RotatedWeight& weight,
                                const PreparedQuantizer& quantizer,
                                const model::WeightFormat& format, HessianError* hessian,
                                ThreadPool& pool);

}  // namespace quarot::quantize
