// What quantizing did to one linear, as people, quarot.json and the work folder's journal get it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "io/json.h"

namespace quarot::quantize {

struct QuantizedLayerReport {
    std::string name;
    int bits = 16;
    int64_t group_size = 0;
    std::string method;
    double relative_error = 0.0;  // ||W - W_q|| / ||W||
    // tr(E H E^T) of the codes, and of the nearest codes on the same grids; with calibration only.
    std::optional<double> weighted_error, nearest_weighted_error;
    // How much of the refit was taken, of recipes with one; the errors are then those of its
    // weights.
    std::optional<double> refit;
    int64_t weights = 0;               // 0 if not quantized
    int64_t bytes = 0;                 // codes, scales, zero points and what outliers add
    int64_t outliers = 0;              // columns that are kept apart
    std::optional<double> input_clip;  // of the activations that it and others read, where searched
    // Of an expert, with calibration only: tokens of the text that went to it, and whether its
    // Hessian is of all tokens since these were too few.
    std::optional<int64_t> tokens;
    bool of_all_tokens = false;
};

io::Json to_json(const QuantizedLayerReport& report);
QuantizedLayerReport layer_report_from_json(const io::Json& json);
io::Json to_json(const std::vector<QuantizedLayerReport>& reports);
std::vector<QuantizedLayerReport> layer_reports_from_json(const io::Json& json);

}  // namespace quarot::quantize
