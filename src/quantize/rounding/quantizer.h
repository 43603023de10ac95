// A quantizer turns weight matrices into integer codes and scales.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/thread_pool.h"
#include "quantize/hessian.h"
#include "recipe/recipe.h"
#include "tensor/quantized_matrix.h"

namespace quarot::quantize {

// Rows of a weight on their way to integers. They know no model, file or packing beyond
// QuantizedMatrix.
struct WeightMatrix {
    std::span<const float> values;  // [rows, cols] row-major, finite
    int64_t rows = 0;
    int64_t cols = 0;
};

// What weights that read the same inputs have in common.
struct WeightInputs {
    std::string site;     // for messages, such as "layer 3, the input of down_proj"
    int64_t n_cols = 0;   // of the weights
    int64_t n_codes = 0;  // the first columns get codes, the others stay floating point
    // Mean of x x^T over the calibration tokens, fp64 [n_cols, n_cols] row-major, symmetric: on the
    // host, or on a device whose ColumnSolver then solves; neither for a quantizer that needs none.
    std::span<const double> hessian;
    std::optional<DeviceHessian> device_hessian;
};

struct QuantizedPiece {
    QuantizedMatrix codes;    // [rows, n_codes]
    std::vector<float> rest;  // [rows, n_cols - n_codes]: the other columns as they are to be kept
};

// A quantizer made ready for one WeightInputs. Rows do not see each other, so a matrix may be
// quantized in pieces, by several threads at the same time, with equal results; one that takes all
// rows wants a whole matrix at once, from one thread.
class PreparedQuantizer {
  public:
    virtual ~PreparedQuantizer() = default;
    virtual bool takes_all_rows() const { return false; }
    // rows.cols == n_cols.
    virtual QuantizedPiece quantize(const WeightMatrix& rows) const = 0;
};

struct Quantizer {
    std::string_view name;  // as WeightFormat::method has it
    bool needs_calibration = false;
    // Deterministic for any number of threads in the pool, which must outlive the result. The
    // Hessian is not needed after.
    // Error{Numeric} naming the site for one that cannot be used.
    std::unique_ptr<PreparedQuantizer> (*prepare)(const WeightInputs& inputs,
                                                  const WeightFormat& format, ThreadPool& pool);
};

std::vector<std::string> quantizer_names();
// Error{Usage} naming the methods there are.
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
