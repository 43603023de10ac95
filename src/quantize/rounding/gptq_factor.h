// In which order does GPTQ visit the columns of a site, and how does an error in one move the
// others?
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "core/thread_pool.h"
#include "kernels/column_solver.h"
#include "quantize/rounding/quantizer.h"

namespace quarot::quantize {

struct GptqFactor {
    std::vector<int64_t> order;  // [n_cols] solve position -> column; the coded columns come first
    std::vector<bool> dead;      // [n_cols] by solve position: coded columns that no input reaches
    std::vector<double> u;       // [n_cols, n_cols] upper, H^-1 = U^T U in solve order; empty where
                                 // a solver keeps it
};

// [n_codes] h_ii by column, where the format's clip search weighs by it; else empty.
std::vector<double> importance_of(const WeightInputs& inputs, const WeightFormat& format);

// Damps the Hessian by damp * mean(diagonal), columns that no input reaches left out, more if that
// does not make it positive definite (with a warning). Empty if nothing helps or every input is 0.
// Error{Numeric} for NaN and Inf. solver: factors a device's Hessian and keeps U; null for one on
// the host.
std::optional<GptqFactor> factor_hessian(const WeightInputs& inputs, double damp, bool act_order,
                                         ThreadPool& pool, kernels::ColumnSolver* solver = nullptr);

}  // namespace quarot::quantize
