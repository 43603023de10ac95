// Quantized rows of the contract in device memory: their size, their place and their way back.
#pragma once

#include <cstdint>

#include "kernels/cuda/activation_layout.h"
#include "kernels/cuda/rows_view.h"
#include "kernels/ops.h"

namespace quarot::kernels::cuda {

RowsView view_of(const Rows& rows);
ActivationView view_of(const QuantizedRows& rows);

// Codes, scales, sums and, of asymmetric formats, offsets or bases, one behind the other from an
// address that is a multiple of kActivationAlignment.
int64_t activation_bytes(int64_t rows, int64_t cols, const ActivationFormat& format);
QuantizedRows place_activations(void* memory, int64_t rows, int64_t cols,
                                const ActivationFormat& format);

// Codes as ops.h has them from the stored bytes of `rows`, which were copied to the host.
std::vector<int8_t> signed_codes(const QuantizedRows& rows, std::span<const uint8_t> stored);
bool padding_is_zero(const QuantizedRows& rows, std::span<const uint8_t> stored);

}  // namespace quarot::kernels::cuda
