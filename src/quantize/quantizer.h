// A quantizer turns one weight matrix into integer codes and scales.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "model/recipe.h"
#include "tensor/quantized_matrix.h"

namespace quarot::quantize {

// A weight on its way to integers. It knows no model, file, device or packing beyond
// QuantizedMatrix.
struct WeightMatrix {
    std::span<const float> values;  // [rows, cols] row-major, finite
    int64_t rows = 0;
    int64_t cols = 0;
};

struct Quantizer {
    std::string_view name;  // --method
    bool needs_calibration = false;
    // hessian: [cols, cols] fp64 or empty when the quantizer needs none. Deterministic; may be
    // called for several matrices at the same time. Rows do not see each other, so a matrix may be
    // quantized in pieces.
    QuantizedMatrix (*quantize)(const WeightMatrix& weight, std::span<const double> hessian,
                                const model::WeightFormat& format);
};

// Error{Unsupported} naming the methods there are.
const Quantizer& quantizer_named(const std::string& method);

// ||W - dequantize(Q)||_F^2 and ||W||_F^2; those of pieces add up.
struct SquaredError {
    double error = 0.0;
    double norm = 0.0;
    SquaredError& operator+=(const SquaredError& other);
    double relative() const;  // sqrt(error / norm); 0 for a matrix of zeros
};
SquaredError squared_error(const WeightMatrix& weight, const QuantizedMatrix& quantized);

// ||W - dequantize(Q)||_F / ||W||_F
double relative_error(const WeightMatrix& weight, const QuantizedMatrix& quantized);

}  // namespace quarot::quantize
