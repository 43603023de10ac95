// What is asked of rows of logits: probabilities of given tokens, the best tokens, distance to
// other logits. fp32 rows; a row's results depend on that row alone. All only enqueue.
#pragma once

#include <cstdint>

#include "kernels/cuda/rows_view.h"
#include "kernels/cuda/stream.h"

namespace quarot::kernels::cuda {

// out[r] = logits[r][targets[r]] - log(sum of exp(logits[r])), fp64; 0 for a negative target, NaN
// where the row holds a NaN or +Inf.
void log_probabilities(const RowsView& logits, const int32_t* targets, double* out, Stream stream);

inline constexpr int kMostTop = 256;

// The k best tokens of every row by falling logit, the lower id first among equals; NaN counts as
// the smallest. ids and values: [rows, k]; k <= kMostTop and <= cols. k = 1 is arg-max.
struct TopArgs {
    RowsView logits;
    int64_t k = 1;
    int32_t* ids = nullptr;
    float* values = nullptr;  // or null
};
void top_logits(const TopArgs& args, Stream stream);

// out[r] = sum over tokens of p (ln p - ln q), p the softmax of base, q that of model; fp64.
void divergence(const RowsView& base, const RowsView& model, double* out, Stream stream);

}  // namespace quarot::kernels::cuda
