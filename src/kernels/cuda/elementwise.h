// Operations that move or combine elements of rows. All only enqueue.
#pragma once

#include <cstdint>

#include "kernels/cuda/rows_view.h"
#include "kernels/cuda/stream.h"
#include "kernels/cuda/weight_layout.h"
#include "kernels/functions.h"

namespace quarot::kernels::cuda {

// out = f(gate) * up, or f(gate) where up is null, in fp32. out may be gate or up.
void activate(Activation activation, const RowsView& gate, const RowsView* up, const RowsView& out,
              Stream stream);

// out = scale * in, and with a cap (not 0) out = cap * tanh(scale * in / cap), in fp32. out may be
// in.
void scale_rows(const RowsView& in, float scale, float cap, const RowsView& out, Stream stream);

// sum += in (+ bias); sum is fp32. bias: [cols] or null.
void add_rows(const RowsView& in, const float* bias, const RowsView& sum, Stream stream);

// out[t] = table[ids[t]]; ids are in device memory and within the table. table.dtype as stored.
void embed(const RowsView& table, const int32_t* ids, const RowsView& out, Stream stream);
void embed(const WeightView& table, const int32_t* ids, const RowsView& out, Stream stream);

// sum[t] += table[positions[t] + offset] where positions[t] >= 0; positions are in device memory,
// sum is fp32.
void add_position_rows(const RowsView& table, const int32_t* positions, int64_t offset,
                       const RowsView& sum, Stream stream);

// out[r] = in[rows[r]], out.rows indices in device memory. Equal dtypes copy bits.
void gather_rows(const RowsView& in, const int32_t* rows, const RowsView& out, Stream stream);

// out[r][j] = in[r][columns[j]], out.cols indices in device memory. out may not overlap in.
void gather_columns(const RowsView& in, const int32_t* columns, const RowsView& out, Stream stream);

// bad_site[r] becomes the lower of itself and `site` where row r holds a NaN or Inf.
void note_non_finite(const RowsView& in, int32_t site, int32_t* bad_site, Stream stream);

}  // namespace quarot::kernels::cuda
