// Are the numbers in a tensor such that a model may compute with them?
#pragma once

#include <string>

#include "tensor/quantized_matrix.h"
#include "tensor/tensor.h"

namespace quarot::folder {

// Where a tensor came from, for messages.
struct TensorOrigin {
    const std::string& file;
    const std::string& name;
};

// Error{Corrupt} naming file, tensor, row and column of the first NaN or Inf of a float tensor.
void check_finite(const Tensor& tensor, const TensorOrigin& origin);

// Error{Corrupt} unless every scale is a finite positive number.
void check_scales(const QuantizedMatrix& matrix, const TensorOrigin& origin);

// Error{Corrupt} unless every zero point is a code of the matrix's width.
void check_zero_points(const QuantizedMatrix& matrix, const TensorOrigin& origin);

// Error{Corrupt} unless it is above 0 and at most 1.
void check_clip(float clip, const TensorOrigin& origin);

// Error{Corrupt} unless an I32 tensor names every column 0 .. n - 1 once.
void check_permutation(const Tensor& tensor, const TensorOrigin& origin);

}  // namespace quarot::folder
