// The weights of outlier columns as the finished model keeps them.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "kernels/ops.h"
#include "quantize/job/layer_file.h"
#include "recipe/recipe.h"
#include "tensor/quantized_matrix.h"

namespace quarot::quantize {

using OutlierWeights = std::variant<Tensor, QuantizedMatrix>;  // [rows, n]: F16, or codes

// Of the shape and type that the format asks for, values to come.
OutlierWeights make_outlier_weights(int64_t rows, int64_t n, const WeightFormat& format);
// values: [rows, n]. Rounded to nearest; rows do not see each other. Error{Numeric} naming the
// linear for a value that is more than an F16 holds.
OutlierWeights round_outliers(const std::string& linear, std::span<const float> values, int64_t n,
                              const WeightFormat& format);
// The rows of `part` become rows first, first + 1 .. of `whole`.
void put_rows(const OutlierWeights& part, int64_t first, OutlierWeights& whole);
// One row as floats.
void widen_row(const OutlierWeights& weights, int64_t row, std::span<float> out);
int64_t bytes_of(const OutlierWeights& weights);
kernels::LinearWeights linear_weights(const OutlierWeights& weights);

// As tensors of a file, and back; linear: the name of the linear they belong to.
void append_outliers(const std::string& linear, OutlierWeights weights,
                     std::vector<NamedTensor>& tensors);
OutlierWeights outliers_from(const std::vector<NamedTensor>& tensors, const std::string& linear,
                             int64_t rows, int64_t n, const WeightFormat& format);

}  // namespace quarot::quantize
