// Weights as columns in solve order, and their rounding one after another.
#pragma once

#include <cstdint>

#include "kernels/cuda/stream.h"
#include "kernels/host_device.h"

namespace quarot::kernels::cuda {

// Columns of a weight in solve order, in device memory.
struct WeightColumns {
    double* values = nullptr;  // [n, n_rows]; a rounded column holds its errors
    int64_t n = 0;
    int64_t n_rows = 0;

    QUAROT_HOST_DEVICE double* column(int64_t i) const { return values + i * n_rows; }
};

// Column i becomes column order[i] of rows [n_rows, n], zeros where dead[i]. Only enqueues.
void load_columns(const WeightColumns& columns, const float* rows, const int32_t* order,
                  const uint8_t* dead, Stream stream);

// out: [n_rows, count], the columns first .. rounded to fp32. Only enqueues.
void read_columns(const WeightColumns& columns, int64_t first, int64_t count, float* out,
                  Stream stream);

inline constexpr int64_t kMostRounded = 32;

// Rounds columns first .. first + count, at most kMostRounded, one after another: column i to
// scale q, q whole in [low, low + top]; its error e = (w - scale q) / U_ii takes its place, and the
// columns after it up to the last of these lose e U_ij.
struct ColumnRounding {
    WeightColumns columns;
    int64_t first = 0;
    int64_t count = 0;
    const double* u = nullptr;       // [n, n], the upper triangle is read
    const int32_t* order = nullptr;  // [n]
    int64_t group_width = 0;         // of columns in their own order
    const float* scales = nullptr;   // [n_groups, n_rows]
    const float* lows = nullptr;     // [n_groups, n_rows]
    double top = 0.0;
    uint8_t* codes = nullptr;  // [n_rows, n_codes]: q - low of column order[i]
    int64_t n_codes = 0;
    int32_t* failed = nullptr;  // becomes 1 where an error is not finite
};

// Only enqueues.
void round_columns(const ColumnRounding& rounding, Stream stream);

}  // namespace quarot::kernels::cuda
