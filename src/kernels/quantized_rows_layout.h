// Where codes, scales, sums and zero points of quantized rows lie in one block of memory.
#pragma once

#include <cstdint>

#include "kernels/ops.h"

namespace quarot::kernels {

// Codes first, then scales, sums and, of asymmetric formats, offsets or bases. Rows of codes and
// each part take whole multiples of `alignment` bytes; so does `memory`.
int64_t quantized_rows_bytes(int64_t rows, int64_t cols, const ActivationFormat& format,
                             int64_t alignment);
QuantizedRows place_quantized_rows(void* memory, int64_t rows, int64_t cols,
                                   const ActivationFormat& format, int64_t alignment);

}  // namespace quarot::kernels
