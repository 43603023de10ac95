// Rows or columns of a matrix as a matrix of their own.
#pragma once

#include <cstdint>
#include <span>

#include "tensor/quantized_matrix.h"
#include "tensor/tensor.h"

namespace quarot {

// Of [rows, cols]; first + count within them.
Tensor rows_of(const Tensor& matrix, int64_t first, int64_t count);
Tensor columns_of(const Tensor& matrix, int64_t first, int64_t count);
QuantizedMatrix rows_of(const QuantizedMatrix& matrix, int64_t first, int64_t count);
// first and count are multiples of the matrix's groups.
QuantizedMatrix columns_of(const QuantizedMatrix& matrix, int64_t first, int64_t count);

// Row r is row rows[r] of the matrix.
Tensor rows_at(const Tensor& matrix, std::span<const int32_t> rows);
QuantizedMatrix rows_at(const QuantizedMatrix& matrix, std::span<const int32_t> rows);

}  // namespace quarot
