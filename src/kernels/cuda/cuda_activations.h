// Rows of the contract as the kernels take them, and codes on their way back.
#pragma once

#include <cstdint>

#include "kernels/cuda/activation_layout.h"
#include "kernels/cuda/quantize_rows.h"
#include "kernels/cuda/rows_view.h"
#include "kernels/ops.h"

namespace quarot::kernels::cuda {

// Whether rows of the format are quantized to multiples, beside their codes.
bool writes_multiples(const ActivationFormat& format);

// As kernels::quantized_rows_bytes and place_quantized_rows, with multiples where products of such
// rows take them.
int64_t quantized_bytes(int64_t rows, int64_t cols, const ActivationFormat& format);
QuantizedRows place_quantized(void* memory, int64_t rows, int64_t cols,
                              const ActivationFormat& format);

RowsView view_of(const Rows& rows);
ActivationView view_of(const QuantizedRows& rows);
// Rows of experts come with a mixture, which this backend has none of.
QuantizeTarget target_of(const QuantizedRows& out, const SiteNote& note);

// Rows [first, first + count) of row-major ones, of which more than kStreamedRows must remain.
QuantizedRows rows_of(const QuantizedRows& rows, int64_t first, int64_t count);

// Codes as ops.h has them from the stored bytes of `rows`, which were copied to the host.
std::vector<int8_t> signed_codes(const QuantizedRows& rows, std::span<const uint8_t> stored);
bool padding_is_zero(const QuantizedRows& rows, std::span<const uint8_t> stored);

}  // namespace quarot::kernels::cuda
