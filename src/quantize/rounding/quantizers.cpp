// The quantizers there are, and how well a quantized matrix stands for the original.
#include <array>
#include <cmath>
#include <vector>

#include "core/check.h"
#include "core/error.h"
#include "core/setting.h"
#include "quantize/rounding/gptq.h"
#include "quantize/rounding/quantizer.h"
#include "quantize/rounding/rtn.h"

namespace quarot::quantize {
namespace {

constexpr std::array<Quantizer, 2> kQuantizers = {{
    {.name = "rtn", .needs_calibration = false, .prepare = prepare_rtn},
    {.name = "gptq", .needs_calibration = true, .prepare = prepare_gptq},
}};

}  // namespace

std::vector<std::string> quantizer_names() {
    std::vector<std::string> names;
    for (const Quantizer& quantizer : kQuantizers) names.emplace_back(quantizer.name);
    return names;
}

const Quantizer& quantizer_named(const std::string& method) {
    for (const auto& quantizer : kQuantizers) {
        if (quantizer.name == method) return quantizer;
    }
    std::string list;
    for (const std::string& name : quantizer_names()) list += (list.empty() ? "" : ", ") + name;
    fail(ErrorCode::Usage, "{} is {}, expected one of {}", Setting{"weights.method"}, method, list);
}

SquaredError& SquaredError::operator+=(const SquaredError& other) {
    error += other.error;
    norm += other.norm;
    return *this;
}

double SquaredError::relative() const {
    return norm == 0.0 ? 0.0 : std::sqrt(error / norm);
}

SquaredError squared_error(const WeightMatrix& weight, const QuantizedMatrix& quantized) {
    QUAROT_CHECK(weight.rows == quantized.rows && weight.cols == quantized.cols);
    SquaredError sum;
    std::vector<float> row(weight.cols);
    for (int64_t r = 0; r < weight.rows; ++r) {
        quantized.dequantize_row(r, row);
        for (int64_t c = 0; c < weight.cols; ++c) {
            const double w = weight.values[r * weight.cols + c];
            const double difference = w - static_cast<double>(row[c]);
            sum.error += difference * difference;
            sum.norm += w * w;
        }
    }
    return sum;
}

double relative_error(const WeightMatrix& weight, const QuantizedMatrix& quantized) {
    return squared_error(weight, quantized).relative();
}

}  // namespace quarot::quantize
